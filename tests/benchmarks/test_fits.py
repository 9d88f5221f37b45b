"""Lines through measured costs: exact ones are found, and what bends is told."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.fits import Growth, fit_terms, format_growths, ring_causes, written

SIZES = (500.0, 2000.0, 8000.0)


def growth(costs: tuple[float, ...], **changes: object) -> Growth:
    values = {"part": "reading", "unit": "s", "per": "image", "sizes": SIZES, "costs": costs}
    return Growth(**(values | changes))  # type: ignore[arg-type]


@given(st.floats(1e-3, 10), st.floats(1e-7, 1e-2))
def test_a_line_is_found_again(fixed: float, slope: float) -> None:
    found = growth(tuple(fixed + slope * size for size in SIZES))
    np.testing.assert_allclose(found.line.factors, (fixed, slope), rtol=1e-6)
    assert found.line.off < 1e-9
    assert found.at(118_287) == pytest.approx(fixed + slope * 118_287)


@given(st.lists(st.floats(1e-9, 1e-3), min_size=3, max_size=3))
def test_causes_are_told_apart(factors: list[float]) -> None:
    causes = [(1.0, n, n * density) for n, density in ((500, 7), (2000, 7), (8000, 7), (8000, 14))]
    found = fit_terms(causes, (np.array(causes) @ factors).tolist())
    np.testing.assert_allclose(found.factors, factors, rtol=1e-5)


def test_relative_distances_are_least() -> None:
    # Costs 1 and 3 of the same size: 1 / 1 - x and 1 - x / 3 are balanced at x = 1.2.
    found = fit_terms([(1.0,), (1.0,)], (1.0, 3.0))
    assert found.factors[0] == pytest.approx(1.2)
    assert found.off == pytest.approx(0.6)


def test_units_of_different_size_are_no_obstacle() -> None:
    causes = [ring_causes(processes, size) for processes in (2, 4) for size in (1 << 10, 1 << 30)]
    found = fit_terms(causes, (np.array(causes) @ (5e-5, 2e-9)).tolist())
    np.testing.assert_allclose(found.factors, (5e-5, 2e-9), rtol=1e-9)


def test_what_cannot_be_fitted_is_refused() -> None:
    with pytest.raises(ValueError, match="apart"):
        fit_terms([(1.0, 2.0), (2.0, 4.0), (3.0, 6.0)], (1.0, 2.0, 3.0))
    with pytest.raises(ValueError, match="apart"):
        fit_terms([(1.0, 2.0)], (1.0,))
    with pytest.raises(ValueError, match="above 0, got 0"):
        fit_terms([(1.0, 1.0), (1.0, 2.0)], (1.0, 0.0))


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_the_exponent_tells_a_line_from_a_square(exponent: float) -> None:
    shuffled = growth(
        tuple(3 * size**exponent for size in (8000.0, 500.0, 2000.0)),
        sizes=(8000.0, 500.0, 2000.0),
    )
    assert shuffled.exponent == pytest.approx(exponent)


def test_a_square_is_no_line() -> None:
    assert growth(tuple(1e-6 * size**2 for size in SIZES)).line.off > 0.3


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (0.0, "s", "0.00 ns"),
        (2.5e-9, "s", "2.50 ns"),
        (0.00123, "s", "1.23 ms"),
        (-0.5, "s", "-500 ms"),
        (93.25, "s", "93.2 s"),
        (7199.0, "s", "7,199 s"),
        (7200.0, "s", "2.00 h"),
        (0.5, "MiB", "512 KiB"),
        (3 / 2**20, "MiB", "3.00 B"),
        (512.0, "MiB", "512 MiB"),
        (1536.0, "MiB", "1.50 GiB"),
    ],
)
def test_costs_are_written_in_the_unit_that_suits(value: float, unit: str, text: str) -> None:
    assert written(value, unit) == text


def test_a_table_reads_the_line_at_what_lies_ahead() -> None:
    ahead = growth(tuple(1 + 0.001 * size for size in SIZES), ahead={"COCO": 118_287})
    memory = growth((1.0, 4.0, 16.0), part="index", unit="MiB")
    head, rule, first, second = format_growths([ahead, memory]).splitlines()
    assert head.count("|") == rule.count("|") == first.count("|") == second.count("|")
    cells = [cell.strip() for cell in re.split(r"(?<= )\||^\|", first)]
    assert "500, 2000, 8000" in cells
    assert "1.00 ms / image" in cells
    assert cells[-2] == "119 s"
    assert second.endswith("| - |")
    assert "2.05 KiB / image" in second


def test_a_ring_sends_each_part_twice_around() -> None:
    assert ring_causes(1, 1e6) == (0.0, 0.0)
    assert ring_causes(2, 1e6) == (2.0, 1e6)
    assert ring_causes(4, 1e6) == (6.0, 1.5e6)
