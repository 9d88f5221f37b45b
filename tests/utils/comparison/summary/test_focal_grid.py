"""Where configurations lie in the grid of gamma, alpha and scale."""

from typing import Any

import pytest

from utils.comparison.summary.focal_grid import focal_point, tried_gammas

BCE = {"name": "bce"}
FOCAL = {"name": "focal", "gamma": 1.5, "alpha": 0.25, "form": "linear", "scale": "matched"}


def point(objectness: Any, classification: Any) -> Any:
    return focal_point({"loss": {"objectness": objectness, "classification": classification}})


def test_focal_on_both_branches() -> None:
    expected = {"gamma": 1.5, "alpha": 0.25, "form": "linear", "scale": "matched"}
    assert point(FOCAL, FOCAL) == {"where": "both", **expected}
    assert point(None, FOCAL) == {"where": "both", **expected}


def test_focal_on_one_branch_names_it() -> None:
    assert point(BCE, FOCAL)["where"] == "classification"
    assert point(FOCAL, BCE)["where"] == "objectness"


def test_cross_entropy_is_gamma_zero() -> None:
    plain = point(BCE, BCE)
    assert (plain["gamma"], plain["alpha"], plain["where"]) == (0.0, None, "both")
    weighted = point({"name": "bce_alpha", "alpha": 0.25}, {"name": "bce_alpha", "alpha": 0.25})
    assert (weighted["gamma"], weighted["alpha"]) == (0.0, 0.25)


@pytest.mark.parametrize(
    "other",
    [
        {**FOCAL, "gamma": 2.0},
        {"name": "quality", "beta": 2.0},
        {**FOCAL, "alpha": [0.2, 0.3]},
    ],
)
def test_what_fits_no_cell_is_nowhere(other: dict[str, Any]) -> None:
    assert point(FOCAL, other) is None


def test_gammas_that_were_tried() -> None:
    points = [point(BCE, BCE), point(FOCAL, FOCAL), point({**FOCAL, "gamma": 0.5}, BCE)]
    assert tried_gammas(points) == [0.5, 1.5]
