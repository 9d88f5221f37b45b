"""compare.py's own decision on detections of real trainings: equal arms, and known differences.

Every comparison draws its runs and its test images by itself from the stored pool. So comparisons
are independent of each other once the pool is given, although they share runs: the 5 % and the
95 % below hold for the pool as the population, and say nothing of how typical its trainings are.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from tests.utils.comparison.detection_pool import BOX_STEPS, SCORE_STEPS, read_pool, write_pool
from tests.utils.comparison.pooled_comparisons import (
    IMAGES,
    SEEDS,
    TEST,
    Change,
    chosen_images,
    draw,
    judge,
    pool,
    tables_of,
)
from tests.utils.comparison.simulated_runs import binomial_bounds, coverage, map_of
from utils.comparison.statistics.intervals import bca_interval, percentile_interval
from utils.comparison.statistics.power import WANTED_POWER, Design, power
from utils.comparison.summary.arm_result import ArmResult

COMPARISONS = 120
"""Just enough for 120 intervals around the truth to be too many. Of equal arms six may be called
different: a rule at its limit of 1/32 (six seeds of one sign) would exceed that with one in twelve
seeds of this test, and one that calls a tenth of them different would pass with one in 26."""
EQUAL, LIGHT, HEAVY = Change(0.0), Change(0.15, same_runs=True), Change(0.6)
"""Nothing; little, under the noise of images; much, under the noise of seeds."""


@lru_cache
def comparisons() -> tuple[dict[Change, ArmResult], ...]:
    """Return all comparisons; the three arms of one share baseline and images."""
    rng = np.random.default_rng(20)
    return tuple(judge(draw(rng), (EQUAL, LIGHT, HEAVY)) for _ in range(COMPARISONS))


def results(change: Change) -> list[ArmResult]:
    return [one[change] for one in comparisons()]


def detectable(found: Sequence[ArmResult]) -> float:
    """Return what the plan states where it knows the spread between seeds."""
    variances = [np.var(list(one.main.by_seed.values()), ddof=1) for one in found]
    design = Design(sd=float(np.sqrt(np.mean(variances))), margin=TEST.margin)
    stated = power(design, SEEDS).detectable
    assert stated is not None
    return stated


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_equal_arms_are_called_different_in_five_percent_at_most() -> None:
    words = [one.word for one in results(EQUAL)]
    assert sum(word in ("better", "worse") for word in words) <= 0.05 * COMPARISONS


@pytest.mark.slow
@pytest.mark.timeout(1600)
@pytest.mark.parametrize("change", [EQUAL, LIGHT, HEAVY])
def test_intervals_cover_the_true_effect_as_often_as_they_say(change: Change) -> None:
    """Both too few and too many are a fault; the bounds are those of a binomial share."""
    lowest, highest = binomial_bounds(TEST.level, COMPARISONS)
    for interval in (bca_interval, percentile_interval):
        ends = [interval(one.main.replicates, TEST.level) for one in results(change)]
        assert lowest <= coverage(ends, change.effect) <= highest


@pytest.mark.slow
@pytest.mark.timeout(1600)
@pytest.mark.parametrize("change", [LIGHT, HEAVY])
def test_an_effect_above_the_detectable_one_is_found(change: Change) -> None:
    found = results(change)
    assert -change.effect > detectable(found)
    words = [one.word for one in found]
    assert sum(word == "worse" for word in words) >= WANTED_POWER * COMPARISONS
    assert "better" not in words


@pytest.mark.slow
def test_the_pool_holds_trainings_that_learned_something_and_differ() -> None:
    stored = pool()
    assert len(stored.runs) >= 32
    assert stored.about["command"].endswith(f"--seeds {len(stored.runs)}")
    ones = np.ones((stored.truths.num_images, 1))
    reached = np.array([map_of(table, ones)[0] for table in tables_of(0.0)])
    assert ((reached > 10) & (reached < 45)).all()
    assert reached.std(ddof=1) > 0.5
    assert len({run.scores.tobytes() for run in stored.runs}) == len(stored.runs)


@pytest.mark.slow
def test_drawn_images_count_as_their_weights_do() -> None:
    table, rng = tables_of(0.0)[3], np.random.default_rng(2)
    images = rng.integers(0, table.num_images, IMAGES)
    counts = np.bincount(images, minlength=table.num_images)[:, None].astype(np.float64)
    assert counts.max() > 1
    drawn = chosen_images(table, images)
    assert drawn.num_images == IMAGES
    assert map_of(drawn, np.ones((IMAGES, 1))) == pytest.approx(map_of(table, counts), abs=1e-9)
    weights = rng.random((IMAGES, 1))
    summed = np.bincount(images, weights=weights[:, 0], minlength=table.num_images)[:, None]
    assert map_of(drawn, weights) == pytest.approx(map_of(table, summed), abs=1e-9)


def test_a_draw_shares_no_run_between_its_arms() -> None:
    one = draw(np.random.default_rng(0))
    assert len({*one.baseline.tolist(), *one.arm.tolist()}) == 2 * SEEDS


def test_a_pool_comes_back_to_the_steps_it_is_kept_in(tmp_path: Path) -> None:
    stored = pool()
    write_pool(tmp_path / "pool.npz", stored)
    again = read_pool(tmp_path / "pool.npz")
    assert again.about == stored.about
    for one, other in zip(again.runs, stored.runs, strict=True):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.image_index, other.image_index)
        np.testing.assert_array_equal(one.labels, other.labels)
    first = stored.runs[0]
    shifted = replace(first, boxes=first.boxes + 0.4 / BOX_STEPS, scores=first.scores * (1 - 1e-9))
    write_pool(tmp_path / "pool.npz", replace(stored, runs=(shifted,)))
    (read,) = read_pool(tmp_path / "pool.npz").runs
    np.testing.assert_allclose(read.boxes, shifted.boxes, atol=0.5 / BOX_STEPS)
    np.testing.assert_allclose(read.scores, shifted.scores, atol=0.5 / SCORE_STEPS)
    outside = replace(first, scores=first.scores + 1)
    with pytest.raises(ValueError, match="do not fit"):
        write_pool(tmp_path / "pool.npz", replace(stored, runs=(outside,)))
