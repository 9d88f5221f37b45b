"""The learning-rate range test: what it suggests on known curves, and where it stops."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.utils.engine.toy import ToyBatches, ToyModel, toy_criterion, toy_settings
from utils.engine.learner import Learner
from utils.engine.optimization.lr_range import LrCurve, SweepSchedule, has_diverged, sweep
from utils.structures.batch import Targets
from utils.structures.loss_terms import LossTerms

CPU = torch.device("cpu")


def curve(losses: np.ndarray, *, low: float = 1e-4, high: float = 1.0) -> LrCurve:
    steps = len(losses)
    lrs = low * (high / low) ** (np.arange(steps) / (steps - 1))
    return LrCurve(lrs=lrs, losses=losses, diverged_at=None, steps=steps)


@pytest.mark.parametrize("middle", [1e-3, 1e-2, 0.08])
def test_the_steepest_descent_is_suggested(middle: float) -> None:
    x = np.linspace(math.log(1e-4), 0.0, 120)
    falling = 5 - 3 / (1 + np.exp(-2.5 * (x - math.log(middle))))
    noisy = falling + np.random.default_rng(0).normal(0, 0.05, 120)
    rising = noisy + 4 * np.clip(x - math.log(0.5), 0, None)
    for losses in (falling, noisy, rising):
        found = curve(losses).suggestion
        assert found is not None
        assert abs(math.log(found / middle)) < 0.5


def test_a_fall_after_the_minimum_is_no_suggestion() -> None:
    x = np.linspace(0, 1, 100)
    losses = 5 - 2 * np.clip(x / 0.4, 0, 1) + 6 * np.clip((x - 0.5) / 0.2, 0, 1)
    losses[85:] = 4.0  # a steep fall back, above the minimum
    found = curve(losses).suggestion
    assert found is not None
    assert found < curve(losses).lrs[45]


def test_noise_alone_and_rising_losses_suggest_nothing() -> None:
    noise = np.random.default_rng(1).normal(3, 0.2, 100)
    assert curve(noise).suggestion is None
    assert curve(np.linspace(1, 9, 100)).suggestion is None
    assert curve(np.array([3.0, 2.0])).suggestion is None


def test_the_end_of_the_range_cuts_a_fall_off() -> None:
    assert curve(np.linspace(9, 1, 100)).is_cut_off
    assert not curve(np.concatenate([np.linspace(9, 1, 60), np.linspace(1, 4, 40)])).is_cut_off


def test_smoothing_is_a_mean_of_neighbours() -> None:
    losses = np.arange(90.0)[::-1]
    smooth = curve(losses).smoothed
    assert smooth[45] == pytest.approx(44)
    assert np.allclose(curve(np.full(90, 2.5)).smoothed, 2.5)
    dip = np.ones(90)
    dip[45] = 0
    assert 0.7 < curve(dip).smoothed[45] < 0.95


def test_how_high_a_divergence_jumps_does_not_matter() -> None:
    losses = 5 - 3 / (1 + np.exp(-np.linspace(-10, 10, 100)))
    jumps = [curve(np.append(losses[:-2], [height, height])) for height in (5.0, 1e9)]
    assert jumps[0].suggestion == jumps[1].suggestion
    assert jumps[0].suggestion == pytest.approx(1e-2, rel=0.2)


def test_rates_rise_by_equal_factors_step_by_step() -> None:
    schedule = SweepSchedule(
        settings=toy_settings(head_warmup=2.0), batches_per_epoch=5, low=1e-3, high=1.0, steps=4
    )
    rates = [schedule.at(iteration) for iteration in range(10)]
    assert [rate.lr for rate in rates] == pytest.approx(
        [1e-3, 1e-3, 1e-2, 1e-2, 1e-1, 1e-1, 1, 1, 1, 1]
    )
    assert {rate.accumulate for rate in rates} == {2}
    assert all(rate.bias_lr == rate.lr for rate in rates)
    assert {rate.momentum for rate in rates} == {toy_settings().optimizer.momentum}  # type: ignore[union-attr]
    assert schedule.head_warmup_iterations == 0


def learner(criterion: object = toy_criterion) -> Learner:
    return Learner(
        ToyModel(),
        criterion,  # type: ignore[arg-type]
        toy_settings(),
        batches_per_epoch=5,
        device=CPU,
    )


def test_a_sweep_goes_over_several_epochs_and_takes_its_steps() -> None:
    began: list[tuple[int, int]] = []
    own = learner()
    told: list[float] = []
    batches = ToyBatches(before_batch=lambda epoch, batch: began.append((epoch, batch)))
    found = sweep(own, batches, low=1e-5, high=1e-3, steps=7, seen=lambda lr, loss: told.append(lr))
    assert own.step == 7
    assert len(told) == 14
    assert began[:6] == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0)]
    assert found.lrs == pytest.approx([1e-5 * 100 ** (i / 6) for i in range(7)])
    assert found.diverged_at is None


def test_a_sweep_stops_where_the_loss_diverges() -> None:
    own = learner()
    found = sweep(own, ToyBatches(), low=1e-4, high=1e6, steps=60)
    assert found.diverged_at is not None
    assert 1e-3 < found.diverged_at < 1e5
    assert len(found.lrs) < 60
    assert np.isfinite(found.losses).all()


def test_a_loss_that_is_not_finite_ends_it() -> None:
    def broken(predictions: Tensor, targets: Targets) -> LossTerms:
        return LossTerms.of(
            {"box": predictions.sum() * math.nan},
            num_foreground=torch.tensor(1),
            batch_size=len(predictions),
        )

    found = sweep(learner(broken), ToyBatches(), low=1e-4, high=1.0, steps=20)
    assert (len(found.lrs), found.diverged_at) == (0, 1e-4)


def test_divergence_is_against_the_lowest_mean() -> None:
    assert not has_diverged([5.0, 5.0, 4.0, 6.0])
    assert not has_diverged([1.0] * 10 + [4.0])  # one bad batch
    assert has_diverged([1.0] * 10 + [30.0] * 2)
    assert not has_diverged([100.0, 50.0, 20.0, 10.0, 10.0, 10.0])
