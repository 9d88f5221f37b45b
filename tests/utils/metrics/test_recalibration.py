"""Maps that rise strictly: near the best fit, the order and with it AP as they were."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.utils.metrics.problems import problems, read_coco
from tests.utils.metrics.scored_rows import random_scored
from utils.metrics.calibration import calibration
from utils.metrics.coco_ap import JUDGES
from utils.metrics.recalibration import (
    ORDER_SHARE,
    fit_isotonic,
    fit_rising,
    tabulate_undo_focal,
    undo_focal,
)
from utils.metrics.scored import scored_detections

ROWS = st.lists(
    st.tuples(st.sampled_from([0.0, 0.001, 0.2, 0.5, 0.50001, 0.9, 1.0]), st.booleans()),
    max_size=20,
)


@given(ROWS)
def test_it_rises_strictly_from_0_to_1_whatever_was_found(rows: list[tuple[float, bool]]) -> None:
    fitted = fit_rising(np.array([s for s, _ in rows]), np.array([r for _, r in rows], bool))
    assert (fitted.knots[0], fitted.knots[-1]) == (0.0, 1.0)
    assert (np.diff(fitted.knots) > 0).all()
    assert (np.diff(fitted.values) > 0).all()
    assert 0.0 <= fitted.values[0] < fitted.values[-1] <= 1.0


@given(ROWS)
def test_at_the_mean_of_a_step_it_is_the_isotonic_fit(rows: list[tuple[float, bool]]) -> None:
    scores = np.array([s for s, _ in rows])
    right = np.array([r for _, r in rows], bool)
    steps = fit_isotonic(scores, right)(scores)
    for step in set(steps.tolist()):
        centre = float(scores[steps == step].mean())
        if 0 < centre < 1:
            wanted = (1 - ORDER_SHARE) * step + ORDER_SHARE * centre
            assert fit_rising(scores, right)(np.array([centre]))[0] == pytest.approx(wanted)


def test_beyond_the_last_step_nothing_better_is_claimed() -> None:
    scores, right = np.full(10, 0.9), np.arange(10) % 2 == 0
    at_most = fit_rising(scores, right)(np.array([1.0]))[0]
    assert at_most == pytest.approx((1 - ORDER_SHARE) * 0.5 + ORDER_SHARE)


@pytest.mark.parametrize("seed", range(3))
def test_it_mends_calibration(seed: int) -> None:
    found = random_scored(seed)
    fitted = fit_rising(found.scores, found.right)
    raw = calibration(found, found.scores, floor=0.0).d_ece
    mended = calibration(found, fitted(found.scores), floor=0.0).d_ece
    assert raw is not None
    assert mended is not None
    assert mended < 0.6 * raw


@pytest.mark.parametrize(("gamma", "alpha"), [(0.0, None), (1.5, 0.25), (2.0, None), (5.0, 0.9)])
def test_the_table_is_the_inverse_of_focal(gamma: float, alpha: float | None) -> None:
    table = tabulate_undo_focal(gamma=gamma, alpha=alpha)
    scores = np.linspace(0.0005, 0.9995, 4001)
    exact = undo_focal(scores, gamma=gamma, alpha=alpha)
    assert np.abs(table(scores) - exact).max() < 1.5e-3
    assert (np.diff(table.values) > 0).all()
    assert (np.diff(table.knots) > 0).all()


@pytest.mark.slow
@settings(max_examples=40)
@given(problems())
def test_ap_does_not_change_where_scores_stay_apart(problem: object) -> None:
    """The scores of these problems are few, so that no map brings two of them together."""
    evaluator = problem.evaluator()  # type: ignore[attr-defined]
    truths, found = evaluator.truths, evaluator.detections
    for fitted in (
        fit_rising(found.scores, found.scores > 0.4),
        tabulate_undo_focal(gamma=2.0, alpha=0.25),
    ):
        mapped = replace(found, scores=np.round(fitted(found.scores), 9))
        assert len(np.unique(mapped.scores)) == len(np.unique(found.scores))
        before, after = (JUDGES["hotcoco"](truths, rows) for rows in (found, mapped))
        np.testing.assert_array_equal(before.stats, after.stats)


@pytest.mark.slow
def test_ap_on_photographs_stays_after_rounding(shared: Path) -> None:
    """27,725 detections: the few scores that six decimals bring together move AP by nothing."""
    problem, _ = read_coco(
        shared / "data/coco128/annotations/instances_train2017.json",
        shared / "golden/coco128_yolov5n_v7_detections.json.gz",
    )
    evaluator = problem.evaluator()
    truths, detections = evaluator.truths, evaluator.detections
    found = scored_detections(truths, detections)
    before = JUDGES["hotcoco"](truths, detections).stats
    fitted = fit_rising(found.scores, found.right)
    mapped = replace(detections, scores=np.round(fitted(detections.scores), 6))
    after = JUDGES["hotcoco"](truths, mapped).stats
    np.testing.assert_allclose(after, before, atol=2e-5)
    raw = calibration(found, found.scores, floor=0.05).d_ece
    mended = calibration(found, fitted(found.scores), floor=0.05).d_ece
    assert raw is not None
    assert mended is not None
    assert mended < raw / 2
