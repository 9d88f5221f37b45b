"""The plot area: marks lie where their numbers are, whatever their number."""

import re
from xml.etree import ElementTree

import pytest

from utils.report.charts.plot_area import (
    HINTS,
    LEAST_ROOM,
    LONGEST_NAME,
    MOST_ROOM,
    PlotArea,
    css,
    room_for,
)


def area(**changes: object) -> PlotArea:
    usual: dict[str, object] = {"title": "t", "description": "d", "left": 58, "width": 520}
    return PlotArea(**{**usual, "x_range": (0, 10), "y_range": (0, 1), **changes})  # type: ignore[arg-type]


def polylines(svg: str) -> list[list[tuple[float, float]]]:
    found = re.findall(r'<polyline[^>]*points="([^"]+)"', svg)
    return [[tuple(map(float, p.split(","))) for p in points.split()] for points in found]  # type: ignore[misc]


def test_marks_lie_where_their_numbers_are() -> None:
    one = area()
    one.dot(0, 0, "plain", "low")
    one.dot(10, 1, "plain", "high")
    one.across(0.5, 2, 4, "plain", "two to four")
    text = one.figure()
    assert 'cx="58.0" cy="236.0"' in text
    assert 'cx="506.0" cy="14.0"' in text
    assert 'd="M147.6 125.0H237.2' in text


def test_a_line_passes_over_what_was_not_measured_and_breaks_at_what_is_not_finite() -> None:
    one = area()
    one.line([0, 1, 2, 3], [0.0, None, 0.5, 1.0], "plain")
    assert [len(line) for line in polylines(one.svg())] == [3]
    two = area()
    two.line([0, 1, 2, 3, 4, 5], [0.0, 0.5, float("nan"), 1.0, 0.2, float("inf")], "plain")
    assert [len(line) for line in polylines(two.svg())] == [2, 2]
    assert "nan" not in two.svg()
    assert "inf" not in two.svg()


def test_a_point_alone_is_a_dot() -> None:
    one = area()
    one.line([3], [0.5], "series-0", said="AP")
    assert polylines(one.svg()) == []
    assert "<title>AP: 0.5</title>" in one.svg()


@pytest.mark.parametrize("count", [2, HINTS, HINTS + 1, 1000])
def test_points_say_their_values_but_not_all_of_very_many(count: int) -> None:
    one = area(x_range=(0, count), x_label="epoch")
    one.line(range(count), [0.5] * count, "series-0", said="AP")
    hints = one.figure().count('class="hint"')
    assert HINTS / 2 <= hints <= HINTS or hints == count
    assert "<title>epoch 0, AP: 0.5</title>" in one.figure()
    assert "epoch 0, AP" not in one.svg()


def test_cells_fill_the_map_and_carry_their_number() -> None:
    edges = dict.fromkeys(("left", "right", "top", "bottom"), 0)
    one = area(x_range=(-0.5, 1.5), y_range=(1.5, -0.5), is_y_numeric=False, **edges)
    one.cell(0, 0, 0.5, "first", text="7")
    one.cell(1, 1, 1.0, "last", gap=2)
    rects = re.findall(r'<rect class="heat" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)"', one.svg())
    assert [tuple(map(float, rect)) for rect in rects] == [(0, 0, 260), (262, 142, 256)]
    assert ">7</text>" in one.svg()


def test_the_last_number_below_a_chart_is_not_cut_off() -> None:
    text = area(x_range=(1, 100), right=12).figure()
    assert re.search(r'<text x="518" y="\d+" text-anchor="end">100</text>', text)
    assert 'text-anchor="middle">20</text>' in text


def test_figures_are_well_formed_and_escape_what_people_write() -> None:
    one = area(
        title="a < b", x_label="<", y_label="&", caption="1 < 2", legend=[("plain", "x & y")]
    )
    one.bar(1, 2, 0.5, "plain", "<hint>")
    one.band([0, 1], [0, 0], [1, 1], "plain")
    one.zone(1, 2, "a & b")
    one.upright(3)
    one.x_name(1, "<n>", slant=28)
    one.y_name(0.5, "<m>")
    one.frame()
    ElementTree.fromstring(one.figure())
    assert "x &amp; y" in one.figure()
    assert "x &amp; y" not in one.figure(legend=())


def test_colours_that_come_again_are_told_apart() -> None:
    assert css(1) == "series-1"
    assert css(9) == "series-1 again"


def test_names_beside_the_axis_have_room_and_long_ones_are_cut() -> None:
    assert room_for([]) == room_for(["a"]) == LEAST_ROOM
    assert room_for(["focal_matched", "bce"]) == 13 * 11 + 8
    assert room_for(["x" * 90]) == MOST_ROOM
    one = area(left=room_for(["n" * 40]))
    one.y_name(0.5, "n" * LONGEST_NAME)
    one.y_name(0.6, "<" * 40)
    text = one.svg()
    assert f">{'n' * LONGEST_NAME}</text>" in text
    assert f"<title>{'&lt;' * 40}</title>{'&lt;' * (LONGEST_NAME - 1)}&#8230;</text>" in text
