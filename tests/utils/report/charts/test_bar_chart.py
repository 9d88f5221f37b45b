"""Bar charts: bars stand where their bin is and are as high as their value."""

import re
from xml.etree import ElementTree

import pytest

from utils.report.charts.bar_chart import LogAxis, bar_chart
from utils.report.charts.line_chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis

BASE = HEIGHT - BOTTOM


def bars(chart: str, series: int) -> list[tuple[float, float, float, float]]:
    """Left, right, top and bottom of the bars of a series."""
    pattern = (
        rf'<rect class="series-{series}" x="([^"]+)" y="([^"]+)" '
        r'width="([^"]+)" height="([^"]+)"'
    )
    found = [tuple(map(float, values)) for values in re.findall(pattern, chart)]
    return [(x, x + width, y, y + height) for x, y, width, height in found]


def test_bars_are_as_high_as_their_values() -> None:
    chart = bar_chart("t", {"a": [0.0, 0.1, 0.2, 0.4]}, x_label="x", highest=0.8)
    found = bars(chart, 0)
    heights = [bottom - top for _, _, top, bottom in found]
    assert heights == pytest.approx(
        [share * (BASE - TOP) for share in (1 / 8, 1 / 4, 1 / 2)], abs=0.2
    )
    assert all(bottom == pytest.approx(BASE, abs=0.11) for *_, bottom in found)


def test_bars_of_a_bin_stand_beside_each_other_within_it() -> None:
    chart = bar_chart("t", {"a": [1.0, 2.0], "b": [2.0, 1.0]}, x_label="x")
    middle = (LEFT + WIDTH - RIGHT) / 2
    first, second = bars(chart, 0), bars(chart, 1)
    for a, b in zip(first, second, strict=True):
        assert a[0] < a[1] <= b[0] + 0.11 < b[1]
    assert second[0][1] < middle < first[1][0]


def test_a_logarithmic_axis_shows_tenfold_values_at_equal_steps() -> None:
    chart = bar_chart("t", {"a": [1.0, 10.0, 100.0, 0.0]}, x_label="x", is_log=True)
    tops = [top for _, _, top, _ in bars(chart, 0)]
    assert len(tops) == 3
    assert tops[0] - tops[1] == pytest.approx(tops[1] - tops[2], abs=0.2)
    axis = LogAxis(0.1, 1000.0, 100.0, 0.0)
    assert [axis.pixel(value) for value in (0.1, 10.0, 1000.0)] == pytest.approx([100, 50, 0])
    assert axis.pixel(0.0) == 100
    assert axis.ticks() == pytest.approx([0.1, 1, 10, 100, 1000])


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("values", [[], [0.0, 0.0], [5.0], [1e-9, 1e9]])
def test_any_values_make_a_picture(values: list[float], is_log: bool) -> None:
    chart = bar_chart("a < b", {"x & y": values}, x_label="<", is_log=is_log)
    ElementTree.fromstring(chart)
    assert all(TOP - 1 <= top < bottom <= BASE + 1 for *_, top, bottom in bars(chart, 0))


def test_whole_axes_have_whole_marks() -> None:
    assert Axis(1, 2, 0, 100, True).ticks() == [1, 2]
    assert Axis(1, 300, 0, 100, True).ticks(6) == Axis(1, 300, 0, 100).ticks(6)
