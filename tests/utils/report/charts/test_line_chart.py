"""Line charts: what is drawn lies where it should, and gaps stay gaps."""

import re
from xml.etree import ElementTree

import pytest

from utils.report.charts.line_chart import HEIGHT, WIDTH, Axis, line_chart


def polylines(chart: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'<polyline[^>]*points="([^"]+)"', chart)
    return [[tuple(map(float, p.split(","))) for p in points.split()] for points in found]  # type: ignore[misc]


def test_axis_maps_ends_to_ends() -> None:
    axis = Axis(2.0, 4.0, 100.0, 300.0)
    assert (axis.pixel(2.0), axis.pixel(3.0), axis.pixel(4.0)) == (100.0, 200.0, 300.0)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.013, 0.47), (-3, 1200), (1e-6, 3e-6)])
def test_ticks_are_inside_and_few(low: float, high: float) -> None:
    ticks = Axis(low, high, 0, 100).ticks()
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)


def test_rising_values_rise_on_the_picture() -> None:
    (line,) = polylines(line_chart("t", [0, 1, 2], {"a": [0.1, 0.5, 0.9]}))
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert [y for _, y in line] == sorted((y for _, y in line), reverse=True)
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in line)


def test_missing_values_leave_a_gap() -> None:
    chart = line_chart("t", [0, 1, 2, 3, 4], {"a": [0.1, 0.2, None, 0.3, float("nan")]})
    assert [len(line) for line in polylines(chart)] == [2]
    assert chart.count("<circle") == 1


def test_nothing_recorded_says_so() -> None:
    assert "nothing was recorded" in line_chart("Loss", [], {"a": []})
    assert "nothing was recorded" in line_chart("Loss", [0], {"a": [None]})


def test_chart_is_well_formed_and_escapes_names() -> None:
    chart = line_chart("a < b", [0, 1], {"x & y": [1.0, 1.0]})
    ElementTree.fromstring(chart)
    assert "a &lt; b" in chart


def test_the_last_number_below_a_chart_is_not_cut_off() -> None:
    chart = line_chart("t", [1, 50, 100], {"a": [0.1, 0.2, 0.3]})
    places = re.findall(r'<text x="([\d.]+)" y="\d+" text-anchor="(\w+)">100</text>', chart)
    (x, anchor), *_ = places
    assert (float(x), anchor) == (WIDTH - 12, "end")
    assert 'text-anchor="middle">20</text>' in chart
