"""Curves over score thresholds and best thresholds, against counting one by one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.utils.metrics.oracles import slow_point
from tests.utils.metrics.scored_rows import random_scored, scored
from utils.metrics.score_curves import THRESHOLDS, class_thresholds, mean_f1, score_curve


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("label", [0, 2, None])
def test_curves_equal_counting(seed: int, label: int | None) -> None:
    found = random_scored(seed)
    mine = np.full(len(found.labels), True) if label is None else found.labels == label
    rows = list(zip(found.scores[mine].tolist(), found.right[mine].tolist(), strict=True))
    num_truths = int(found.truths.sum() if label is None else found.truths[label])
    curve = score_curve(found, label)
    for index, threshold in enumerate(THRESHOLDS.tolist()):
        precision, recall, f1 = slow_point(rows, num_truths, threshold)
        has_some = any(score >= threshold for score, _ in rows)
        assert np.isnan(curve.precision[index]) == (not has_some)
        assert curve.precision[index] == pytest.approx(precision) or not has_some
        assert curve.recall[index] == pytest.approx(recall)
        assert curve.f1[index] == pytest.approx(f1)


@given(
    st.lists(
        st.tuples(st.sampled_from([0.1, 0.2, 0.5, 0.9]), st.integers(0, 1), st.booleans()),
        max_size=12,
    )
)
def test_no_threshold_beats_the_best_one(rows: list[tuple[float, int, bool]]) -> None:
    found = scored([(s, c, r, 0.8 * r) for s, c, r in rows], [12, 12])
    for label, one in enumerate(class_thresholds(found, shared=0.3)):
        curve = score_curve(found, label)
        if one.best is None:
            assert not curve.f1.any()
            assert one.nearly_best is None
            continue
        assert one.best.f1 >= curve.f1.max() - 1e-12
        assert one.best.f1 >= one.f1_at_shared
        assert one.f1_at_shared == pytest.approx(curve.f1[30])
        assert one.nearly_best is not None
        low, high = one.nearly_best
        assert low <= one.best.threshold <= high
        mine = [(s, r) for s, c, r in rows if c == label]
        near = [s for s, _ in mine if slow_point(mine, 12, s)[2] >= 0.99 * one.best.f1 - 1e-12]
        assert (low, high) == (min(near), max(near))


def test_thresholds_by_pencil() -> None:
    """Class 0: one right at .8, one wrong at .6; class 1 has no object; class 2 finds nothing."""
    rows = [(0.8, 0, True, 0.9), (0.6, 0, False, 0.0), (0.7, 1, False, 0.0)]
    first, second, third = class_thresholds(scored(rows, [1, 0, 2]), shared=0.5)
    assert first.best is not None
    assert (first.best.threshold, first.best.f1) == (0.8, 1.0)
    assert first.nearly_best == (0.8, 0.8)
    assert first.f1_at_shared == pytest.approx(2 / 3)
    assert (second.best, third.best, second.num_truths, third.num_truths) == (None, None, 0, 2)
    assert mean_f1([first, second, third]) == (0.5, pytest.approx(1 / 3))
    assert mean_f1([]) == (0.0, 0.0)
