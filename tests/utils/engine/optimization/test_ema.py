import pytest
import torch
from torch import nn

from configs.schema.train import EmaSettings
from tests.utils.engine.toy import ToyModel, toy_batch
from utils.engine.optimization.ema import ModelEma, ema_decay


@pytest.mark.parametrize(
    ("step", "expected"),
    [(1, 0.00049983), (1000, 0.39343), (2000, 0.63206), (10000, 0.993163)],
)
def test_decay_equals_the_published_values(step: int, expected: float) -> None:
    assert ema_decay(step, EmaSettings()) == pytest.approx(expected, rel=1e-5)


def test_average_follows_the_formula_in_double_precision() -> None:
    settings = EmaSettings(decay=0.95, ramp_steps=4.0)
    source = ToyModel()
    average = ModelEma(source, settings)
    oracle = {name: value.double().clone() for name, value in source.state_dict().items()}
    for step in range(1, 7):
        source(toy_batch(step).pixels())  # moves the batch statistics
        with torch.no_grad():
            for parameter in source.parameters():
                parameter.add_(torch.randn_like(parameter))
        average.update()
        decay = ema_decay(step, settings)
        for name, value in source.state_dict().items():
            oracle[name] = decay * oracle[name] + (1 - decay) * value.double()
    assert average.updates == 6
    for name, value in average.model.state_dict().items():
        if value.is_floating_point():
            torch.testing.assert_close(value.double(), oracle[name], rtol=1e-5, atol=1e-6)
            assert not torch.equal(value, source.state_dict()[name])


def test_integer_entries_are_copied() -> None:
    source = ToyModel()
    average = ModelEma(source, EmaSettings())
    for step in range(3):
        source(toy_batch(step).pixels())
    average.update()
    assert average.model.norm.num_batches_tracked.item() == 3


def test_decay_zero_is_the_source_itself() -> None:
    source = ToyModel()
    average = ModelEma(source, EmaSettings(decay=0.0))
    with torch.no_grad():
        source.head.weight.mul_(3.3)
    average.update()
    assert torch.equal(average.model.head.weight, source.head.weight)


def test_average_is_apart_from_the_source_and_never_trained() -> None:
    source = ToyModel().train()
    average = ModelEma(source, EmaSettings())
    assert source.training
    assert not average.model.training
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
    before = average.model.head.weight.clone()
    with torch.no_grad():
        source.head.weight.zero_()
    assert torch.equal(average.model.head.weight, before)


def test_state_restores_weights_and_updates() -> None:
    first = ModelEma(ToyModel(0), EmaSettings())
    first.update()
    second = ModelEma(ToyModel(1).to(memory_format=torch.channels_last), EmaSettings())
    second.load_state(first.state())
    assert second.updates == 1
    for name, value in second.model.state_dict().items():
        assert torch.equal(value, first.model.state_dict()[name])
    assert second.model.second.weight.is_contiguous(memory_format=torch.channels_last)


def test_network_without_state() -> None:
    average = ModelEma(nn.ReLU(), EmaSettings())
    average.update()
    assert average.state() == {"updates": 1, "model": {}}
