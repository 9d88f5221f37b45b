"""Gradients in memory of their own: the same numbers as autograd's, given only to what learns."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from tests.utils.engine.toy import CPU, ToyModel, toy_batch, toy_criterion
from utils.engine.optimization.gradients import Gradients


def backward(model: nn.Module, key: int) -> None:
    torch.manual_seed(key)
    batch = toy_batch(key)
    toy_criterion(model(batch.pixels()), batch.targets).total.backward()


def plain(model: nn.Module, *keys: int) -> dict[str, torch.Tensor]:
    for key in keys:
        backward(model, key)
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def addresses(gradients: Gradients) -> dict[str, int]:
    return {name: value.data_ptr() for name, value in gradients.waiting().items()}


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_are_those_of_autograd_step_after_step(
    memory_format: torch.memory_format,
) -> None:
    model = ToyModel().to(memory_format=memory_format)
    expected = [plain(model, 0, 1), plain(model, 2)]
    gradients = Gradients(model, CPU)
    places = []
    for keys, wanted in zip(((0, 1), (2,)), expected, strict=True):
        for key in keys:
            gradients.expect()
            backward(model, key)
        found = gradients.waiting()
        assert found.keys() == wanted.keys()
        assert all(torch.equal(found[name], wanted[name]) for name in wanted)
        places.append(addresses(gradients))
        gradients.drop()
        assert not gradients.waiting()
    assert places[0] == places[1]


def test_what_rests_has_no_gradient_and_what_wakes_up_starts_at_zero() -> None:
    model = ToyModel()
    model.first.requires_grad_(False)
    gradients = Gradients(model, CPU)
    gradients.expect()
    assert "first.weight" not in gradients.waiting()
    backward(model, 0)
    gradients.drop()
    model.first.requires_grad_(True)
    model.head.requires_grad_(False)
    gradients.expect()
    waiting = gradients.waiting()
    assert "first.weight" in waiting
    assert "head.weight" not in waiting
    assert not any(value.any() for value in waiting.values())


@pytest.mark.parametrize(
    "again",
    [
        lambda gradients: gradients.expect(),
        lambda gradients: gradients.restore(gradients.waiting()),
    ],
    ids=["expected", "restored from itself"],
)
def test_what_is_waiting_survives(again: Callable[[Gradients], None]) -> None:
    model = ToyModel()
    gradients = Gradients(model, CPU)
    gradients.expect()
    backward(model, 0)
    before = gradients.copied()
    again(gradients)
    assert before.keys() == gradients.waiting().keys()
    assert all(torch.equal(before[n], v) for n, v in gradients.waiting().items())


def test_restored_gradients_replace_all_others_in_the_parameters_memory_order() -> None:
    model = ToyModel().to(memory_format=torch.channels_last)
    gradients = Gradients(model, CPU)
    kept = {"second.weight": torch.randn(8, 8, 3, 3)}
    gradients.expect()
    backward(model, 0)
    gradients.restore(kept)
    waiting = gradients.waiting()
    assert waiting.keys() == {"second.weight"}
    assert torch.equal(waiting["second.weight"], kept["second.weight"])
    assert waiting["second.weight"].stride() == model.second.weight.stride()


def test_other_devices_get_their_gradients_from_autograd() -> None:
    gradients = Gradients(ToyModel(), torch.device("meta"))
    gradients.expect()
    assert not gradients.waiting()
