"""Precision, recall, F1 at a threshold and at the best one."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.utils.metrics.oracles import slow_point
from utils.metrics.operating_points import best_point, point_at

VERDICTS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9, 1.0]), st.booleans()), max_size=12
)


def columns(verdicts: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    scores = np.array([score for score, _ in verdicts], np.float64)
    return scores, np.array([right for _, right in verdicts], np.bool_)


@given(VERDICTS, st.integers(0, 4), st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0]))
def test_point_equals_slow_count(
    verdicts: list[tuple[float, bool]], missed: int, threshold: float
) -> None:
    num_truths = missed + sum(right for _, right in verdicts)
    scores, right = columns(verdicts)
    point = point_at(scores, right, num_truths=num_truths, threshold=threshold)
    expected = slow_point(verdicts, num_truths, threshold)
    assert (point.precision, point.recall) == expected[:2]
    assert point.f1 == pytest.approx(expected[2], rel=1e-12)
    assert point.threshold == threshold


@given(VERDICTS, st.integers(0, 4))
def test_best_point_beats_every_threshold(verdicts: list[tuple[float, bool]], missed: int) -> None:
    num_truths = missed + sum(right for _, right in verdicts)
    scores, right = columns(verdicts)
    best = best_point(scores, right, num_truths=num_truths)
    tried = {
        score: point_at(scores, right, num_truths=num_truths, threshold=score).f1
        for score in {score for score, _ in verdicts}
    }
    if not any(right):
        assert best is None
        return
    assert best is not None
    assert best.f1 == max(tried.values())
    assert best.threshold == max(score for score, f1 in tried.items() if f1 == best.f1)


def test_by_pencil() -> None:
    """Right at .9 and .7, wrong at .8 and .1, three truths: keeping >= .7 gives 2 of 3 and 2 of
    3."""
    scores, right = columns([(0.7, True), (0.9, True), (0.1, False), (0.8, False)])
    best = best_point(scores, right, num_truths=3)
    assert best is not None
    assert (best.threshold, best.precision, best.recall) == (0.7, 2 / 3, 2 / 3)
    assert best.f1 == pytest.approx(2 / 3)
    given_point = point_at(scores, right, num_truths=3, threshold=0.85)
    assert (given_point.precision, given_point.recall, given_point.f1) == (1, 1 / 3, 0.5)


def test_equal_scores_stand_or_fall_together() -> None:
    """Stopping between the two of .5 would give F1 1; nobody can choose that threshold."""
    best = best_point(*columns([(0.5, True), (0.5, False)]), num_truths=1)
    assert best is not None
    assert (best.precision, best.recall) == (0.5, 1)


def test_nothing_to_count_gives_zeros() -> None:
    nothing = columns([])
    assert best_point(*nothing, num_truths=0) is None
    point = point_at(*nothing, num_truths=0, threshold=0.25)
    assert (point.precision, point.recall, point.f1) == (0, 0, 0)
