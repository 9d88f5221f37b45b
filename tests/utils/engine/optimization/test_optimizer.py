from typing import Any

import pytest
import torch
from torch import nn

from configs.schema.train import AdamSettings, AdamWSettings, SgdSettings, TrainSettings
from tests.utils.engine.toy import ToyModel
from utils.engine.optimization.optimizer import (
    build_optimizer,
    load_optimizer_state,
    optimizer_state,
    set_rates,
    split_parameters,
    with_plain_step,
)
from utils.engine.optimization.schedule import Rates

OPTIMIZERS = [SgdSettings(), AdamSettings(name="adam"), AdamWSettings(name="adamw")]


def test_groups_of_a_network_one_can_count() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.GroupNorm(2, 4), nn.Linear(4, 4, bias=False)
    )
    groups = split_parameters(model)
    assert {id(p) for p in groups.biases} == {id(model[i].bias) for i in range(3)}
    assert {id(p) for p in groups.norms} == {id(model[i].weight) for i in (1, 2)}
    assert {id(p) for p in groups.weights} == {id(model[i].weight) for i in (0, 3)}


def test_groups_are_a_partition_with_attention_scales_and_shared_weights() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = nn.MultiheadAttention(4, 2)
            self.scale = nn.Parameter(torch.ones(4))
            self.table = nn.Parameter(torch.ones(4, 4))
            self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
            self.second.weight = self.first.weight

    model = Odd()
    groups = split_parameters(model)
    everything = [*groups.biases, *groups.norms, *groups.weights]
    assert len(everything) == len({id(p) for p in everything}) == len(list(model.parameters()))
    assert any(p is model.scale for p in groups.norms)
    assert any(p is model.attention.in_proj_bias for p in groups.biases)
    assert any(p is model.table for p in groups.weights)


def test_frozen_parameters_are_left_out() -> None:
    model = ToyModel()
    model.first.weight.requires_grad_(False)
    groups = split_parameters(model)
    assert all(p is not model.first.weight for p in groups.weights)
    assert len(groups.weights) == 2


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=lambda s: s.name)
def test_decay_is_on_weights_alone_and_scaled_to_the_nominal_batch(settings: Any) -> None:
    # 24 images a batch: 3 batches, 72 images a step for 64 nominal ones.
    train = TrainSettings(optimizer=settings, batch_size=24, nominal_batch=64)
    decays = {
        group["role"]: group["weight_decay"]
        for group in build_optimizer(ToyModel(), train).param_groups
    }
    expected = settings.weight_decay * 72 / 64
    assert decays == {"biases": 0.0, "norms": 0.0, "weights": pytest.approx(expected)}


def test_first_sgd_step_by_hand() -> None:
    model = nn.Linear(1, 1)
    nn.init.constant_(model.weight, 2.0)
    nn.init.constant_(model.bias, 1.0)
    settings = SgdSettings(momentum=0.5, weight_decay=0.1)
    train = TrainSettings(optimizer=settings, batch_size=64, nominal_batch=64)
    optimizer = build_optimizer(model, train)
    set_rates(optimizer, Rates(lr=0.1, bias_lr=0.2, momentum=0.5, accumulate=1))
    model.weight.grad, model.bias.grad = torch.tensor([[1.0]]), torch.tensor([1.0])
    optimizer.step()
    # Nesterov's first step moves by (1 + momentum) times the gradient, decay included.
    assert model.weight.item() == pytest.approx(2.0 - 0.1 * 1.5 * (1.0 + 0.1 * 2.0))
    assert model.bias.item() == pytest.approx(1.0 - 0.2 * 1.5)


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=lambda s: s.name)
def test_rates_reach_every_group(settings: Any) -> None:
    optimizer = build_optimizer(ToyModel(), TrainSettings(optimizer=settings))
    set_rates(optimizer, Rates(lr=0.3, bias_lr=0.7, momentum=0.6, accumulate=1))
    for group in optimizer.param_groups:
        assert group["lr"] == (0.7 if group["role"] == "biases" else 0.3)
        momentum = group["momentum"] if settings.name == "sgd" else group["betas"][0]
        assert momentum == 0.6
        if settings.name != "sgd":
            assert group["betas"][1] == settings.beta2


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=lambda s: s.name)
def test_kernels_are_fused_here_and_foreach_where_they_cannot_be(settings: Any) -> None:
    train = TrainSettings(optimizer=settings)
    assert build_optimizer(ToyModel(), train).param_groups[0]["fused"]
    other = build_optimizer(ToyModel().to("meta"), train)  # a device without such kernels
    assert not other.param_groups[0]["fused"]
    assert other.param_groups[0]["foreach"]


@pytest.mark.parametrize("settings", OPTIMIZERS, ids=lambda s: s.name)
def test_restored_memory_has_the_order_of_its_parameter(settings: Any) -> None:
    """Dense copies, as a file holds them, walk differently from a channels-last weight."""
    torch.manual_seed(0)
    train = TrainSettings(optimizer=settings)
    models = [nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    first, second = (build_optimizer(model, train) for model in models)
    gradients = [[torch.randn_like(p) for p in models[0].parameters()] for _ in range(2)]

    def step(model: nn.Module, optimizer: torch.optim.Optimizer, values: list[Any]) -> None:
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.grad = value.clone()
        optimizer.step()

    step(models[0], first, gradients[0])
    step(models[1], second, gradients[0])
    dense = {
        index: {
            name: value.contiguous() if isinstance(value, torch.Tensor) else value
            for name, value in entries.items()
        }
        for index, entries in optimizer_state(second, models[1]).items()
    }
    load_optimizer_state(second, models[1], dense)
    step(models[0], first, gradients[1])
    step(models[1], second, gradients[1])
    for one, other in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.AdamW])
@pytest.mark.parametrize("kernel", ["fused", "foreach"])
def test_plain_steps_are_torch_s_steps(optimizer: Any, kernel: str) -> None:
    networks = []
    for make in (optimizer, with_plain_step(optimizer)):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 1))
        steps = make(network.parameters(), 0.01, weight_decay=0.05, **{kernel: True})
        for number in range(4):
            steps.zero_grad()
            network(torch.full((2, 3, 8, 8), 0.1 * number)).square().sum().backward()
            steps.step()
        networks.append((network.state_dict(), steps.state_dict()))
    (first, state), (second, other) = networks
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert state.keys() == other.keys()
    assert torch.is_grad_enabled()
