"""Optimal LRP, operating points and curves against plain Python and pencil."""

import itertools

import numpy as np
import pytest

from tests.utils.comparison.detection_problem import random_rows
from tests.utils.metrics.scored_rows import random_scored, scored
from utils.comparison.statistics.match_table import match_table
from utils.comparison.statistics.weighted_ap import mean_over_classes, weighted_class_ap
from utils.comparison.summary.curves import mean_precision
from utils.metrics.operating_points import false_alarms_at_recall, recall_at_false_alarms
from utils.metrics.optimal_lrp import optimal_lrp
from utils.metrics.scored import ScoredDetections


def slow_lrp(found: ScoredDetections, label: int) -> tuple[float, float]:
    best = (1.0, 1.0)
    rows = [
        (float(s), bool(r), float(o))
        for s, r, o, c in zip(found.scores, found.right, found.overlap, found.labels, strict=True)
        if c == label
    ]
    for threshold in sorted({s for s, _, _ in rows}, reverse=True):
        kept = [row for row in rows if row[0] >= threshold]
        hits = sum(r for _, r, _ in kept)
        misses = int(found.truths[label]) - hits
        misfit = sum((1 - o) / 0.5 for _, r, o in kept if r)
        wrong = len(kept) - hits
        error = (misfit + wrong + misses) / (hits + wrong + misses)
        if error < best[0] - 1e-12:
            best = (error, threshold)
    return best


@pytest.mark.parametrize("seed", range(6))
def test_optimal_lrp_equals_trying_all_thresholds(seed: int) -> None:
    found = random_scored(seed)
    result = optimal_lrp(found)
    for label, one in enumerate(result.by_class):
        assert one == pytest.approx(slow_lrp(found, label))
    errors = [one[0] for one in result.by_class if one is not None]
    assert result.error == pytest.approx(sum(errors) / len(errors))


def test_lrp_by_pencil() -> None:
    """One object found with IoU 0.75 (misfit 0.5), one missed: (0.5 + 1) / 2."""
    found = scored([(0.8, 0, True, 0.75), (0.3, 0, False, 0.0)], [2, 0, 1])
    result = optimal_lrp(found)
    assert result.by_class == ((0.75, 0.8), None, (1.0, 1.0))
    assert result.error == pytest.approx(0.875)
    assert optimal_lrp(scored([], [0])).error is None


def test_operating_points_by_pencil() -> None:
    rows = [(0.9, 0, True, 0.9), (0.8, 0, False, 0.0), (0.7, 0, True, 0.9), (0.6, 0, False, 0.0)]
    found = scored(rows, [4], images=2)
    assert false_alarms_at_recall(found, 0.25) == 0.0
    assert false_alarms_at_recall(found, 0.5) == 0.5
    assert false_alarms_at_recall(found, 0.75) is None
    assert recall_at_false_alarms(found, 0.4) == 0.25
    assert recall_at_false_alarms(found, 0.5) == 0.5
    assert recall_at_false_alarms(found, 1.0) == 0.5
    assert false_alarms_at_recall(scored([], [0]), 0.5) is None


@pytest.mark.parametrize("crowd_share", [0.0, 0.3])
def test_area_under_the_mean_curve_is_the_ap(crowd_share: float) -> None:
    truths, found = random_rows(images=20, classes=3, crowd_share=crowd_share, seed=4)
    table = match_table(truths, found)
    weights = np.random.default_rng(0).exponential(size=(20, 5))
    means = mean_over_classes(weighted_class_ap(table, weights))
    for threshold, column in ((0, 1), (5, 2)):
        curve = mean_precision(table, weights, threshold=threshold)
        np.testing.assert_allclose(curve.mean(axis=1), means[:, column], atol=1e-9)


def test_all_orders_of_equal_scores_give_the_same_lrp() -> None:
    rows = [(0.5, 0, True, 0.9), (0.5, 0, False, 0.0), (0.5, 0, True, 0.7)]
    errors = {optimal_lrp(scored(list(order), [3])).error for order in itertools.permutations(rows)}
    assert len({round(error or 0, 12) for error in errors}) == 1
