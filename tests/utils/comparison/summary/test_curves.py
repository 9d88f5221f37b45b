"""F1 over the threshold and scores by overlap against counting one by one."""

import numpy as np
import pytest

from tests.utils.metrics.scored_rows import random_scored, scored
from utils.comparison.summary.curves import score_by_overlap
from utils.metrics.score_curves import THRESHOLDS, score_curve


@pytest.mark.parametrize("seed", range(3))
def test_f1_equals_counting_at_every_threshold(seed: int) -> None:
    found = random_scored(seed)
    curve = score_curve(found).f1
    for threshold, value in zip(THRESHOLDS, curve, strict=True):
        kept = found.scores >= threshold
        hits, false = int(found.right[kept].sum()), int((~found.right[kept]).sum())
        missed = int(found.truths.sum()) - hits
        assert value == pytest.approx(2 * hits / (2 * hits + false + missed))


def test_nothing_found_and_nothing_there() -> None:
    assert score_curve(scored([], [3])).f1.tolist() == [0.0] * len(THRESHOLDS)
    assert score_curve(scored([], [0])).f1.tolist() == [0.0] * len(THRESHOLDS)
    assert score_by_overlap([scored([(0.9, 0, False, 0.0)], [3])]) == []


def test_scores_are_pooled_by_the_overlap_of_right_detections() -> None:
    one = scored([(0.2, 0, True, 0.52), (0.6, 0, True, 0.54), (0.9, 0, False, 0.0)], [3])
    other = scored([(0.7, 0, True, 1.0), (0.4, 0, True, 0.51)], [3])
    low, high = score_by_overlap([one, other])
    assert (low["overlap"], low["count"], low["median"]) == (pytest.approx(0.525), 3, 0.4)
    assert (low["low"], low["high"]) == tuple(np.quantile([0.2, 0.4, 0.6], [0.25, 0.75]))
    assert (high["overlap"], high["count"], high["median"]) == (pytest.approx(0.975), 1, 0.7)
