"""Verdicts by hand, and what would change them against what happens when it is done."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from utils.comparison.statistics.bootstrap import Replicates
from utils.comparison.statistics.intervals import Interval, t_quantile
from utils.comparison.statistics.power import Design, power
from utils.comparison.statistics.significance import sign_flip_p, smallest_p
from utils.comparison.statistics.verdict import Rule, decide, fewest_seeds, needed
from utils.comparison.summary.sentences import _undecided, data_name

RULE = Rule(level=0.95, margin=0.5)


@pytest.mark.parametrize(
    ("low", "high", "p_value", "word"),
    [
        (0.2, 1.0, 0.03, "better"),
        (-1.0, -0.2, 0.03, "worse"),
        (0.2, 1.0, 0.06, "inconclusive"),
        (-0.1, 1.0, 0.03, "inconclusive"),
        (-0.3, 0.4, 0.5, "equivalent"),
        (-0.6, 0.4, 0.5, "inconclusive"),
        (0.1, 0.4, 0.03, "better"),
        (0.1, 0.4, 0.2, "equivalent"),
        (0.0, 0.4, 0.03, "equivalent"),
    ],
)
def test_verdicts_by_hand(low: float, high: float, p_value: float, word: str) -> None:
    interval = Interval(low, high)
    assert decide(interval, interval, p_value, RULE, num_seeds=6) == word


@pytest.mark.parametrize(
    ("seeds", "sentence"),
    [(7, "x: about 1 more seed is needed to"), (9, "x: about 3 more seeds are needed to")],
)
def test_seeds_that_are_missing_are_counted(seeds: int, sentence: str) -> None:
    need = SimpleNamespace(seeds_for_difference=seeds, seeds_for_equivalence=None)
    result: Any = SimpleNamespace(name="x", seeds=range(6), needed=need, bar=None)
    settings: Any = SimpleNamespace(margin=0.5)
    (line,) = _undecided(result, settings)
    assert line.startswith(sentence)


def test_one_seed_decides_nothing() -> None:
    interval = Interval(0.2, 0.3)
    assert decide(interval, interval, 0.01, RULE, num_seeds=1) == "inconclusive"


def replicates(estimate: float, seed: float, image: float, noise: float) -> Replicates:
    return Replicates(
        estimate=estimate,
        values=np.zeros(3),
        seed_variance=seed,
        image_variance=image,
        run_noise=noise,
        degrees=5.0,
        acceleration=0.0,
    )


def test_needed_seeds_by_formula() -> None:
    """Seeds alone vary: sd 2 a seed, a difference of 1.5 is found when t * 2 / sqrt(n) < 1.5."""
    result = needed(replicates(1.5, 4 / 6, 0.0, 0.0), RULE, num_seeds=6, min_seeds=6)
    by_hand = next(n for n in range(6, 99) if t_quantile(0.975, n - 1) * 2 / math.sqrt(n) < 1.5)
    assert result.seeds_for_difference == by_hand
    assert result.seeds_for_equivalence is None
    assert result.images_factor is None


def test_seeds_do_not_help_where_images_are_short() -> None:
    result = needed(replicates(0.5, 0.0, 1.0, 0.0), RULE, num_seeds=6, min_seeds=6)
    assert result.seeds_for_difference is None
    assert result.images_factor == pytest.approx((1.96 / 0.5) ** 2, rel=1e-3)


def test_noise_of_single_runs_is_averaged_by_seeds() -> None:
    result = needed(replicates(1.0, 0.0, 1.0, 1.0), RULE, num_seeds=6, min_seeds=6)
    assert result.seeds_for_difference is not None
    assert result.seeds_for_difference > 6


@pytest.mark.parametrize("num_arms", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("correction", ["holm", "max"])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_fewest_seeds_are_the_first_that_reach_the_level(
    num_arms: int, correction: str, level: float
) -> None:
    seeds = fewest_seeds(level, num_arms=num_arms, correction=correction)
    for count, reaches in ((seeds, True), (seeds - 1, False)):
        smallest = smallest_p(count, num_arms=num_arms, correction=correction)
        assert (smallest < 1 - level) == reaches


def test_too_few_seeds_find_nothing() -> None:
    assert power(Design(sd=0.1, margin=9.0), 5).detectable is None
    assert power(Design(sd=0.1, margin=9.0, num_arms=5), 6).detectable is None
    assert power(Design(sd=0.1, margin=9.0, num_arms=5, correction="max"), 6).detectable


def test_power_is_what_new_draws_give() -> None:
    """The stated effect is found in about 80 % of fresh experiments judged one by one."""
    plan = power(Design(sd=0.8, margin=0.5), 8)
    assert plan.detectable is not None
    rng = np.random.default_rng(99)
    found = 0
    for _ in range(400):
        deltas = rng.normal(plan.detectable, 0.8, 8)
        half = t_quantile(0.975, 7) * deltas.std(ddof=1) / math.sqrt(8)
        found += deltas.mean() > half and sign_flip_p(deltas) < 0.05
    assert found / 400 == pytest.approx(0.8, abs=0.06)


@pytest.mark.slow
def test_power_grows_with_seeds_and_scales_with_the_unit() -> None:
    plans = [power(Design(sd=0.8, margin=0.5), seeds) for seeds in (6, 8, 12, 16)]
    detectable = [plan.detectable for plan in plans]
    assert detectable == sorted(detectable, reverse=True)  # type: ignore[type-var]
    assert plans[-1].power_of_equivalence > plans[0].power_of_equivalence
    double = power(Design(sd=1.6, margin=1.0), 6)
    assert double.detectable == pytest.approx(2 * (plans[0].detectable or 0))
    assert double.power_at_margin == plans[0].power_at_margin


def test_a_data_set_is_named_by_the_last_folders_of_its_path() -> None:
    assert data_name({"format": "voc", "path": "/x/VOCdevkit/VOC2012"}) == "VOCdevkit/VOC2012"
    assert data_name({"format": "yolo", "path": "/x/coco128"}) == "coco128"
