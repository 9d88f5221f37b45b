"""The same steps as torch's own, bit by bit, whatever the memory order."""

import pytest
import torch
from torch import nn
from torch.optim import SGD

from utils.engine.optimization.storage_order import StorageOrderSgd


def network(memory_format: torch.memory_format) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(
        nn.Conv2d(3, 37, 3),
        nn.BatchNorm2d(37),
        nn.Conv2d(37, 21, 1, bias=False),
        nn.Conv2d(21, 1, 3),
    )
    return layers.to(memory_format=memory_format)


def optimizer(kind: type[SGD], model: nn.Module, **options: object) -> SGD:
    built = kind(model.parameters(), lr=0.1, fused=True, **options)
    for parameter in model.parameters():
        if options.get("momentum"):
            built.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return built


def take_steps(kind: type[SGD], memory_format: torch.memory_format, **options: object) -> nn.Module:
    model = network(memory_format)
    built = optimizer(kind, model, **options)
    for step in range(3):
        generator = torch.Generator().manual_seed(step)
        for index, parameter in enumerate(model.parameters()):
            if (index + step) % 5:  # some parameters rest now and then
                gradient = torch.randn(parameter.shape, generator=generator)
                parameter.grad = torch.empty_like(parameter).copy_(gradient)
        built.step()
        built.zero_grad()
    return model


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "options",
    [
        {"momentum": 0.9, "nesterov": True, "weight_decay": 5e-4},
        {"momentum": 0.9, "weight_decay": 0.1},
        {},
    ],
)
def test_steps_are_those_of_torch(
    memory_format: torch.memory_format, options: dict[str, object]
) -> None:
    ours = take_steps(StorageOrderSgd, memory_format, **options)
    torchs = take_steps(SGD, memory_format, **options)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, torchs.state_dict()[name]), name


@pytest.mark.parametrize("what", ["gradient", "momentum"])
def test_another_order_of_one_tensor_changes_nothing(what: str) -> None:
    model, expected = network(torch.channels_last), network(torch.channels_last)
    options = {"momentum": 0.9, "nesterov": True}
    ours, torchs = optimizer(StorageOrderSgd, model, **options), optimizer(SGD, expected, **options)
    for parameter, other in zip(model.parameters(), expected.parameters(), strict=True):
        gradient, momentum = torch.randn(2, *parameter.shape)
        other.grad = torch.empty_like(other).copy_(gradient)
        torchs.state[other]["momentum_buffer"].copy_(momentum)
        # A slice of `randn` is contiguous: not the order of the weights.
        parameter.grad = gradient if what == "gradient" else other.grad.clone()
        kept = ours.state[parameter]
        if what == "momentum":
            kept["momentum_buffer"] = momentum
        else:
            kept["momentum_buffer"].copy_(momentum)
    for _ in range(2):
        ours.step()
        torchs.step()
    for parameter, other in zip(model.parameters(), expected.parameters(), strict=True):
        assert torch.equal(parameter, other)
        kept = ours.state[parameter]["momentum_buffer"]
        assert torch.equal(kept, torchs.state[other]["momentum_buffer"])


def test_without_gradients_nothing_happens() -> None:
    model = network(torch.channels_last)
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer(StorageOrderSgd, model, momentum=0.9).step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))


def test_a_closure_is_refused() -> None:
    with pytest.raises(ValueError, match="no closure"):
        optimizer(StorageOrderSgd, network(torch.channels_last)).step(lambda: 0.0)
