"""Grouped bars as inline SVG: shares or counts in equal bins between 0 and 1."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from utils.report.charts.line_chart import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Axis,
    Scale,
    figure,
    grid,
)

GAP = 0.2
"""Share of a bin that stays free between groups."""


@dataclass(frozen=True, slots=True)
class LogAxis:
    """A logarithmic axis from `low` to `high`, both above 0, from pixel `start` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def pixel(self, value: float) -> float:
        """Return where `value` lies; what is below `low`, 0 too, at `start`."""
        share = math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return powers of ten within the axis, about `about` of them."""
        first = math.ceil(math.log10(self.low) - 1e-9)
        last = math.floor(math.log10(self.high) + 1e-9)
        step = max(1, math.ceil((last - first) / about))
        return [10.0**power for power in range(first, last + 1, step)]


def bar_chart(
    title: str,
    series: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    highest: float | None = None,
    is_log: bool = False,
) -> str:
    """Return an SVG with a group of bars, one per series, for each of equal bins of [0, 1].

    All series have the same number of values, 0 or more. The axis goes up to `highest`, else to the
    largest value; with `is_log` it goes down to the power of ten below the smallest above 0.
    """
    values = [value for bars in series.values() for value in bars]
    top = highest or max(values, default=0.0)
    positive = [value for value in values if value > 0]
    vertical: Scale
    if is_log and positive:
        low = 10.0 ** math.floor(math.log10(min(positive)))
        high = 10.0 ** math.ceil(math.log10(max(positive)) + 0.01)
        vertical = LogAxis(low, high, HEIGHT - BOTTOM, TOP)
    else:
        vertical = Axis(0.0, top or 1.0, HEIGHT - BOTTOM, TOP)
    horizontal = Axis(0.0, 1.0, LEFT, WIDTH - RIGHT)
    bars = [
        _bars(index, len(series), heights, horizontal, vertical)
        for index, heights in enumerate(series.values())
    ]
    body = grid(horizontal, vertical, x_label) + "".join(bars)
    return figure(title, list(series), body)


def _bars(
    index: int, num_series: int, heights: Sequence[float], horizontal: Axis, vertical: Scale
) -> str:
    base = HEIGHT - BOTTOM
    bin_width = 1 / max(len(heights), 1)
    width = bin_width * (1 - GAP) / num_series
    parts = []
    for number, height in enumerate(heights):
        y = vertical.pixel(height)
        if height <= 0 or not math.isfinite(y):
            continue
        left = bin_width * (number + GAP / 2) + width * index
        x, end = horizontal.pixel(left), horizontal.pixel(left + width)
        parts.append(
            f'<rect class="series-{index}" x="{x:.1f}" y="{y:.1f}" width="{end - x:.1f}" '
            f'height="{max(base - y, 1.0):.1f}"/>'
        )
    return "".join(parts)
