"""Charts as inline SVG: no plotting library, no script, colours follow the page's theme.

A chart is one string that stands in a page on its own; series colours are the CSS classes
`series-0` ... `series-5` that the page defines for light and dark.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

WIDTH, HEIGHT = 520, 260
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 42
HALF_A_NUMBER = 18
"""Half of what a number below the chart is wide, at most."""


class Scale(Protocol):
    """Where values lie along one side of a chart."""

    def pixel(self, value: float) -> float:
        """Return where `value` lies."""
        ...

    def ticks(self, about: int = 5) -> list[float]:
        """Return about `about` values to mark."""
        ...


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear axis from `low` to `high`, drawn from pixel `start` to pixel `end`.

    `is_whole`: marks stand at whole numbers only.
    """

    low: float
    high: float
    start: float
    end: float
    is_whole: bool = False

    def pixel(self, value: float) -> float:
        """Return where `value` lies."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Return round values within the axis, about `about` of them: 1, 2 or 5 times 10^k."""
        raw = (self.high - self.low) / about
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = next(m * magnitude for m in (1, 2, 5, 10) if m * magnitude >= raw)
        step = max(step, 1.0) if self.is_whole else step
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]


def line_chart(
    title: str,
    x: Sequence[float],
    series: Mapping[str, Sequence[float | None]],
    *,
    x_label: str = "epoch",
    y_range: tuple[float, float] | None = None,
) -> str:
    """Return an SVG with one line per series over common `x`; None and NaN leave a gap.

    A single point is drawn as a dot, so that a training of one epoch shows something too. Without
    any finite value the chart says so.
    """
    values = [v for line in series.values() for v in line if v is not None and math.isfinite(v)]
    if not values or not x:
        return f'<p class="empty">{escape(title)}: nothing was recorded.</p>'
    low, high = y_range or _padded(min(values), max(values))
    is_whole = all(float(value).is_integer() for value in x)
    horizontal = Axis(*_padded(min(x), max(x), share=0.0), LEFT, WIDTH - RIGHT, is_whole)
    vertical = Axis(low, high, HEIGHT - BOTTOM, TOP)
    lines = [
        _polyline(index, x, line, horizontal, vertical)
        for index, line in enumerate(series.values())
    ]
    return figure(title, list(series), grid(horizontal, vertical, x_label) + "".join(lines))


def figure(title: str, names: Sequence[str], body: str) -> str:
    """Return the figure around the SVG elements `body`, with the names of its series."""
    legend = "".join(
        f'<span class="key series-{index}">{escape(name)}</span>'
        for index, name in enumerate(names)
    )
    return (
        f'<figure><figcaption>{escape(title)} <span class="legend">{legend}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"{body}</svg></figure>"
    )


def _padded(low: float, high: float, share: float = 0.05) -> tuple[float, float]:
    if low == high:
        return low - 0.5, high + 0.5
    margin = (high - low) * share
    return low - margin, high + margin


def _polyline(
    index: int, x: Sequence[float], y: Sequence[float | None], horizontal: Axis, vertical: Axis
) -> str:
    runs: list[list[str]] = [[]]
    for position, value in zip(x, y, strict=True):
        if value is None or not math.isfinite(value):
            runs.append([])
            continue
        runs[-1].append(f"{horizontal.pixel(position):.1f},{vertical.pixel(value):.1f}")
    parts = []
    for run in filter(None, runs):
        if len(run) == 1:
            across, down = run[0].split(",")
            parts.append(f'<circle class="series-{index}" cx="{across}" cy="{down}" r="3"/>')
        else:
            parts.append(f'<polyline class="series-{index}" points="{" ".join(run)}"/>')
    return "".join(parts)


def grid(horizontal: Scale, vertical: Scale, x_label: str) -> str:
    """Return lines at the ticks of the vertical axis, and the numbers of both."""
    parts = []
    for value in vertical.ticks():
        y = vertical.pixel(value)
        parts.append(
            f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>')
    for value in horizontal.ticks(about=6):
        x = horizontal.pixel(value)
        # A number at the very end would be cut off.
        anchor = "middle" if x + HALF_A_NUMBER < WIDTH else "end"
        parts.append(
            f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="{anchor}">{value:g}</text>'
        )
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(x_label)}</text>'
    )
    return "".join(parts)
