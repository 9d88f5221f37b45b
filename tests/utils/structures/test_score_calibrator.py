"""Calibrators rise, say whether they keep the order, and are undone by their inverse."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from utils.structures.score_calibrator import ScoreCalibrator

SHARES = st.lists(st.integers(1, 999), min_size=1, max_size=8, unique=True)


def calibrator(inner: list[int]) -> ScoreCalibrator:
    """Strictly rising, with the square of each knot as its value."""
    knots = [0.0, *(number / 1000 for number in sorted(inner)), 1.0]
    return ScoreCalibrator.of(knots, [knot**2 for knot in knots])


@pytest.mark.slow
@given(SHARES)
def test_what_keeps_the_order_is_undone_by_its_inverse(inner: list[int]) -> None:
    one = calibrator(inner)
    assert one.keeps_order
    scores = np.linspace(0.01, 0.99, 23)
    mapped = one(scores)
    assert (np.diff(mapped) > 0).all()
    for score, value in zip(scores.tolist(), mapped.tolist(), strict=True):
        assert one.inverse(value) == pytest.approx(score)


@given(SHARES)
def test_tensors_and_arrays_get_the_same_scores(inner: list[int]) -> None:
    one = calibrator(inner)
    scores = torch.rand(3, 5, generator=torch.Generator().manual_seed(len(inner)))
    mapped = one.on_tensor(scores)
    assert (mapped.dtype, mapped.shape) == (torch.float32, scores.shape)
    np.testing.assert_allclose(mapped.numpy(), one(scores.double().numpy()), rtol=1e-6)


def test_steps_and_parts_of_the_range_do_not_keep_the_order() -> None:
    assert ScoreCalibrator.identity().keeps_order
    for knots, values in (((0.0, 0.5, 1.0), (0.0, 0.2, 0.2)), ((0.1, 0.9), (0.1, 0.9))):
        one = ScoreCalibrator(knots, values)
        assert not one.keeps_order
        with pytest.raises(ValueError, match="no inverse"):
            one.inverse(0.2)
    assert ScoreCalibrator((0.2, 0.4), (0.1, 0.3))(np.array([0.0, 0.3, 1.0])).tolist() == (
        pytest.approx([0.1, 0.2, 0.3])
    )


@pytest.mark.parametrize(
    ("knots", "values", "said"),
    [
        ((0.0, float("nan")), (0.0, 1.0), "finite"),
        ((0.0,), (0.0,), "two or more"),
        ((0.0, 1.0), (0.0, 0.5, 1.0), "as many values"),
        ((0.0, 0.0), (0.0, 1.0), "rises"),
        ((0.0, 1.0), (0.5, 0.4), "rises"),
        ((0.0, 1.1), (0.0, 1.0), "within 0 to 1"),
        ((0.0, 1.0), (-0.1, 1.0), "within 0 to 1"),
    ],
)
def test_what_is_no_rising_map_is_refused(
    knots: tuple[float, ...], values: tuple[float, ...], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ScoreCalibrator(knots, values)
