"""Line and bar charts: what is drawn lies where it should, and is as high as its value."""

import re
from xml.etree import ElementTree

import pytest

from tests.utils.report.charts.test_plot_area import polylines
from utils.report.charts.series_charts import bar_area, bar_chart, line_area, line_chart


def bars(chart: str, series: int) -> list[tuple[float, float, float, float]]:
    """Left, right, top and bottom of the bars of a series."""
    pattern = (
        rf'<rect class="area series-{series}" x="([^"]+)" y="([^"]+)" '
        r'width="([^"]+)" height="([^"]+)"'
    )
    found = [tuple(map(float, values)) for values in re.findall(pattern, chart)]
    return [(x, x + width, y, y + height) for x, y, width, height in found]


def test_rising_values_rise_on_the_picture() -> None:
    area = line_area("t", [0, 1, 2], {"a": [0.1, 0.5, 0.9]})
    assert area is not None
    (line,) = polylines(area.svg())
    assert [x for x, _ in line] == sorted(x for x, _ in line)
    assert [y for _, y in line] == sorted((y for _, y in line), reverse=True)
    assert all(0 <= x <= area.width and 0 <= y <= area.height for x, y in line)
    assert "a from 0.1 to 0.9" in area.description


def test_nothing_recorded_says_so() -> None:
    assert "nothing was recorded" in line_chart("Loss", [], {"a": []})
    assert "nothing was recorded" in line_chart("Loss", [0], {"a": [None]})
    assert "nothing was recorded" in line_chart("Loss", [0], {"a": [float("nan")]})


def test_epochs_between_evaluations_leave_no_gap() -> None:
    chart = line_chart("AP", [1, 2, 3, 4, 5], {"AP": [None, 0.1, None, 0.3, None], "b": [1.0] * 5})
    assert [len(line) for line in polylines(chart)] == [2, 5]


def test_one_series_named_as_the_chart_has_no_legend() -> None:
    assert "legend" not in line_chart("Learning rate", [1, 2], {"Learning rate": [1.0, 2.0]})
    assert 'key series-0">box<' in line_chart("Loss", [1, 2], {"box": [1.0, 2.0]})


def test_chart_is_well_formed_and_escapes_names() -> None:
    chart = line_chart("a < b", [0, 1], {"x & y": [1.0, 1.0]})
    ElementTree.fromstring(chart)
    assert "a &lt; b" in chart


def test_bars_are_as_high_as_their_values() -> None:
    area = bar_area("t", {"a": [0.0, 0.1, 0.2, 0.4]}, x_label="x", highest=0.8)
    found = bars(area.svg(), 0)
    base, room = area.height - area.bottom, area.height - area.bottom - area.top
    heights = [bottom - top for _, _, top, bottom in found]
    assert heights == pytest.approx([room * share for share in (1 / 8, 1 / 4, 1 / 2)], abs=0.2)
    assert all(bottom == pytest.approx(base, abs=0.11) for *_, bottom in found)


def test_bars_of_a_bin_stand_beside_each_other_within_it() -> None:
    area = bar_area("t", {"a": [1.0, 2.0], "b": [2.0, 1.0]}, x_label="x")
    first, second = bars(area.svg(), 0), bars(area.svg(), 1)
    for a, b in zip(first, second, strict=True):
        assert a[0] < a[1] <= b[0] + 0.11 < b[1]
    assert second[0][1] < area.x.pixel(0.5) < first[1][0]


def test_tenfold_bars_rise_by_equal_steps_on_a_logarithmic_axis() -> None:
    chart = bar_chart("t", {"a": [1.0, 10.0, 100.0, 0.0]}, x_label="x", is_log=True)
    tops = [top for _, _, top, _ in bars(chart, 0)]
    assert len(tops) == 3
    assert tops[0] - tops[1] == pytest.approx(tops[1] - tops[2], abs=0.2)


@pytest.mark.parametrize("is_log", [False, True])
@pytest.mark.parametrize("values", [[], [0.0, 0.0], [5.0], [1e-9, 1e9]])
def test_any_values_make_a_picture(values: list[float], is_log: bool) -> None:
    area = bar_area("a < b", {"x & y": values}, x_label="<", is_log=is_log)
    ElementTree.fromstring(area.figure())
    base = area.height - area.bottom
    assert all(13 <= top <= bottom <= base + 1 for *_, top, bottom in bars(area.figure(), 0))
