"""The two usual charts: lines over common x, and bars in equal bins between 0 and 1."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from utils.report.charts.axes import decades, padded
from utils.report.charts.plot_area import PlotArea, css, legend_of_series

GAP = 0.2
"""Share of a bin that stays free between groups of bars."""


def line_area(
    title: str,
    x: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    *,
    x_label: str = "epoch",
    y_range: tuple[float, float] | None = None,
) -> PlotArea | None:
    """Return an area with one line per series over common `x`; None without any finite value.

    None is a value that was not measured, which a line passes over; NaN breaks it. A series that is
    named as the chart needs no legend.
    """
    values = [v for line in series.values() for v in line if v is not None and math.isfinite(v)]
    if not values or not x:
        return None
    low, high = min(x), max(x)
    area = PlotArea(
        title=title,
        description="; ".join(_course(name, line) for name, line in series.items()),
        x_range=(low, high) if low < high else (low - 0.5, high + 0.5),
        y_range=y_range or padded(min(values), max(values), 0.05),
        x_label=x_label,
        is_x_whole=all(float(value).is_integer() for value in x),
        legend=() if list(series) == [title] else legend_of_series(series),
    )
    for index, (name, line) in enumerate(series.items()):
        area.line(x, line, css(index), said=name)
    return area


def line_chart(
    title: str,
    x: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    *,
    x_label: str = "epoch",
    y_range: tuple[float, float] | None = None,
) -> str:
    """Return `line_area` as a figure; without any finite value it says so."""
    area = line_area(title, x, series, x_label=x_label, y_range=y_range)
    if area is None:
        return f'<p class="empty">{escape(title)}: nothing was recorded.</p>'
    return area.figure()


def bar_chart(
    title: str,
    series: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    highest: float | None = None,
    is_log: bool = False,
) -> str:
    """Return `bar_area` as a figure."""
    return bar_area(title, series, x_label=x_label, highest=highest, is_log=is_log).figure()


def bar_area(
    title: str,
    series: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    highest: float | None = None,
    is_log: bool = False,
) -> PlotArea:
    """Return an area with a group of bars, one per series, for each of equal bins of [0, 1].

    All series have the same number of values, 0 or more. The axis goes up to `highest`, else to the
    largest value; with `is_log` it goes down to the power of ten below the smallest above 0.
    """
    values = [value for bars in series.values() for value in bars]
    positive = [value for value in values if value > 0]
    is_log = is_log and bool(positive)
    top = highest or max(values, default=0.0) or 1.0
    area = PlotArea(
        title=title,
        description="; ".join(f"{name}: {sum(bars):.4g} in all" for name, bars in series.items()),
        x_range=(0.0, 1.0),
        y_range=decades(positive) if is_log else (0.0, top),
        x_label=x_label,
        is_y_log=is_log,
        legend=legend_of_series(series),
    )
    for index, (name, bars) in enumerate(series.items()):
        bin_width = 1 / max(len(bars), 1)
        width = bin_width * (1 - GAP) / len(series)
        for number, height in enumerate(bars):
            left = bin_width * (number + GAP / 2) + width * index
            hint = f"{number * bin_width:.2f} to {(number + 1) * bin_width:.2f}, {name}: "
            if height > 0:
                area.bar(left, left + width, height, css(index), f"{hint}{height:.4g}")
    return area


def _course(name: str, line: Sequence[float | None]) -> str:
    known = [value for value in line if value is not None]
    return f"{name} from {known[0]:.4g} to {known[-1]:.4g}" if known else f"{name}: nothing"
