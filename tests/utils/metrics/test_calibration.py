"""Calibration, recalibration and kinds of errors against plain Python and pencil."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.utils.metrics.scored_rows import random_scored, scored
from utils.metrics.calibration import BINS, calibration, reliability
from utils.metrics.error_types import error_types
from utils.metrics.recalibration import fit_isotonic, undo_focal
from utils.metrics.rows import DetectionRows, TruthRows


def slow_ece(scores: list[float], quality: list[float]) -> float:
    total = 0.0
    for number in range(BINS):
        low, high = number / BINS, (number + 1) / BINS
        inside = [
            k
            for k, score in enumerate(scores)
            if low <= score < high or (number == BINS - 1 and score == 1)
        ]
        if inside:
            mean_score = sum(scores[k] for k in inside) / len(inside)
            mean_quality = sum(quality[k] for k in inside) / len(inside)
            total += len(inside) / len(scores) * abs(mean_score - mean_quality)
    return total


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("floor", [0.0, 0.3])
def test_errors_equal_plain_loops(seed: int, floor: float) -> None:
    found = random_scored(seed)
    result = calibration(found, found.scores, floor=floor)
    kept = [k for k, s in enumerate(found.scores.tolist()) if s >= floor]
    scores = [float(found.scores[k]) for k in kept]
    right = [float(found.right[k]) for k in kept]
    assert result.d_ece == pytest.approx(slow_ece(scores, right))
    squares = [(s - r) ** 2 for s, r in zip(scores, right, strict=True)]
    assert result.brier == pytest.approx(sum(squares) / len(squares))
    by_class = []
    for label in sorted({int(found.labels[k]) for k in kept}):
        mine = [k for k in kept if found.labels[k] == label]
        by_class.append(slow_ece(found.scores[mine].tolist(), found.overlap[mine].tolist()))
    assert result.la_ece == pytest.approx(sum(by_class) / len(by_class))


def test_calibration_by_pencil() -> None:
    found = scored([(0.9, 0, True, 0.8), (0.9, 0, False, 0.0)], [1])
    result = calibration(found, found.scores, floor=0.0)
    assert result.d_ece == pytest.approx(0.4)
    assert result.la_ece == pytest.approx(0.5)
    assert result.brier == pytest.approx((0.01 + 0.81) / 2)
    assert reliability(found, found.scores, floor=0.0)[0].precision == 0.5


def test_a_score_of_one_belongs_to_the_last_bin() -> None:
    found = scored([(1.0, 0, False, 0.0), (0.97, 0, True, 0.8)], [1])
    assert calibration(found, found.scores, floor=0.0).d_ece == pytest.approx(0.485)


def test_perfect_scores_and_no_scores() -> None:
    found = scored([(1.0, 0, True, 1.0), (0.0, 0, False, 0.0)], [1])
    result = calibration(found, found.scores, floor=0.0)
    assert (result.d_ece, result.la_ece, result.d_ece_adaptive, result.brier) == (0, 0, 0, 0)
    empty = scored([], [1])
    assert calibration(empty, empty.scores, floor=0.0).d_ece is None
    assert reliability(empty, empty.scores, floor=0.0) == []


@pytest.mark.parametrize("seed", range(3))
def test_overlap_belongs_to_right_detections_only(seed: int) -> None:
    found = random_scored(seed)
    assert (found.overlap[found.right] >= 0.5).all()
    assert (found.overlap[~found.right] == 0).all()
    assert (np.diff(found.scores) <= 0).all()
    assert found.right.sum() > 5


def slow_isotonic(scores: list[float], right: list[float]) -> list[float]:
    """The min-max formula: the largest mean from the left of the smallest mean to the right."""
    levels = sorted(set(scores))

    def mean(low: float, high: float) -> float:
        inside = [r for s, r in zip(scores, right, strict=True) if low <= s <= high]
        return sum(inside) / len(inside)

    return [
        max(min(mean(low, high) for high in levels if high >= s) for low in levels if low <= s)
        for s in scores
    ]


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(st.integers(0, 8).map(lambda v: v / 8), st.booleans()), min_size=1, max_size=14
    )
)
def test_isotonic_regression_equals_its_formula(rows: list[tuple[float, bool]]) -> None:
    scores = [s for s, _ in rows]
    right = [r for _, r in rows]
    fitted = fit_isotonic(np.array(scores), np.array(right))
    expected = slow_isotonic(scores, [float(r) for r in right])
    np.testing.assert_allclose(fitted(np.array(scores)), expected, atol=1e-12)


def test_isotonic_regression_mends_calibration_and_never_reorders() -> None:
    found = random_scored(3)
    fitted = fit_isotonic(found.scores, found.right)
    raw = calibration(found, found.scores, floor=0.0)
    mended = calibration(found, fitted(found.scores), floor=0.0)
    assert mended.d_ece == pytest.approx(0.0, abs=1e-9)
    assert mended.brier <= (raw.brier or 0)
    assert (np.diff(fitted(found.scores)) <= 1e-15).all()
    identity = fit_isotonic(np.zeros(0), np.zeros(0, bool))
    assert identity(np.array([0.0, 0.3, 1.0])).tolist() == [0.0, 0.3, 1.0]


@pytest.mark.parametrize(
    ("p", "gamma", "alpha", "q"),
    [
        (0.6012, 2.0, 0.25, 0.9),
        (0.073, 1.0, None, 0.01),
        (0.306, 2.0, None, 0.1),
        (0.597, 5.0, None, 0.9),
        (0.892, 2.0, 0.75, 0.99),
        (0.5, 3.0, None, 0.5),
        (0.37, 0.0, None, 0.37),
    ],
)
def test_undoing_focal_gives_the_published_probabilities(
    p: float, gamma: float, alpha: float | None, q: float
) -> None:
    assert undo_focal(np.array([p]), gamma=gamma, alpha=alpha)[0] == pytest.approx(q, abs=2e-3)


@pytest.mark.slow
@given(
    gamma=st.floats(0, 5),
    alpha=st.one_of(st.none(), st.floats(0.1, 0.9)),
    q=st.floats(0.02, 0.98),
)
def test_undoing_focal_inverts_its_minimiser(gamma: float, alpha: float | None, q: float) -> None:
    positive = 0.5 if alpha is None else alpha
    p = np.linspace(1e-4, 1 - 1e-4, 200_001)
    loss = -q * positive * (1 - p) ** gamma * np.log(p)
    loss -= (1 - q) * (1 - positive) * p**gamma * np.log(1 - p)
    best = p[int(np.argmin(loss))]
    assert undo_focal(np.array([best]), gamma=gamma, alpha=alpha)[0] == pytest.approx(q, abs=2e-3)


def test_kinds_of_errors_by_hand() -> None:
    """One object right, one with the wrong class, one badly placed, one missed, one invented."""
    boxes = np.array([[k * 100.0, 0, 50, 50] for k in range(4)])
    truths = TruthRows(
        num_images=1,
        num_classes=2,
        image_index=np.zeros(4, int),
        boxes=boxes,
        labels=np.zeros(4, int),
        ignore=np.zeros(4, bool),
        area=np.full(4, 2500.0),
    )
    placed = boxes[[0, 1, 2, 0]].copy()
    placed[2, 0] += 30
    placed[3] = [0, 300, 50, 50]
    found = DetectionRows(
        image_index=np.zeros(4, int),
        boxes=placed,
        scores=np.array([0.9, 0.8, 0.7, 0.6]),
        labels=np.array([0, 1, 0, 0]),
    )
    counts = error_types(truths, found).counts
    assert counts == {"Cls": 1, "Loc": 1, "Both": 0, "Dupe": 0, "Bkg": 1, "Miss": 1}
