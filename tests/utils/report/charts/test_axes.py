"""Axes: ends lie on ends, marks are few, round and inside, numbers are short."""

import pytest

from utils.report.charts.axes import Axis, LogAxis, decades, padded, tick_text


def test_axis_maps_ends_to_ends() -> None:
    axis = Axis(2.0, 4.0, 100.0, 300.0)
    assert (axis.pixel(2.0), axis.pixel(3.0), axis.pixel(4.0)) == (100.0, 200.0, 300.0)


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0, 1.02), (0.013, 0.47), (-3, 1200), (1e-6, 3e-6)]
)
def test_ticks_are_inside_and_few(low: float, high: float) -> None:
    ticks = Axis(low, high, 0, 100).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    assert Axis(high, low, 0, 100).ticks() == ticks


def test_whole_axes_have_whole_marks() -> None:
    assert Axis(1, 2, 0, 100, True).ticks() == [1, 2]
    assert Axis(1, 300, 0, 100, True).ticks(6) == Axis(1, 300, 0, 100).ticks(6)


def test_a_logarithmic_axis_shows_tenfold_values_at_equal_steps() -> None:
    axis = LogAxis(0.1, 1000.0, 100.0, 0.0)
    assert [axis.pixel(value) for value in (0.1, 10.0, 1000.0)] == pytest.approx([100, 50, 0])
    assert axis.pixel(0.0) == 100
    assert axis.ticks() == pytest.approx([0.1, 1, 10, 100, 1000])


def test_ranges_hold_their_values_and_are_never_empty() -> None:
    for low, high in ((0.0, 0.0), (5.0, 5.0), (-1.0, 3.0)):
        wide = padded(low, high)
        assert wide[0] < low <= high < wide[1]
    assert padded(0.001, 0.001) == pytest.approx((0.0005, 0.0015))
    assert padded(0.0, 0.0) == (-0.5, 0.5)
    assert decades([0.02, 5.0]) == (0.01, 10.0)
    assert decades([1.0]) == (1.0, 10.0)
    low, high = decades([])
    assert 0 < low < high


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.25, "0.25"),
        (-0.5, "-0.5"),
        (1200.0, "1200"),
        (10_000.0, "10k"),
        (-2.5e4, "-25k"),
        (3e6, "3M"),
        (1e9, "1G"),
        (1e13, "10¹³"),
        (1e-4, "0.0001"),
        (1e-5, "10⁻⁵"),
        (2e-6, "2·10⁻⁶"),
    ],
)
def test_numbers_are_short_and_have_no_e(value: float, text: str) -> None:
    assert tick_text(value) == text
