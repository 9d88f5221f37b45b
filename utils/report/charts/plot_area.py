"""A rectangle with two axes that marks are put into; what the charts of a comparison share.

The result is one inline SVG in a figure: no script, colours are the page's classes `series-0` to
`series-7`, and the description is what a screen reader says instead of the picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from utils.report.charts.bar_chart import LogAxis
from utils.report.charts.line_chart import Axis, Scale

SERIES = 8
"""Colours that a page defines; further series begin again."""


def css(index: int) -> str:
    """Return the classes of a series; colours that come again are drawn dashed."""
    return f"series-{index % SERIES}" + (" again" if index >= SERIES else "")


def padded(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    """Return a range a little wider than given; never empty."""
    margin = (high - low) * share or max(abs(high) * share, 0.5)
    return low - margin, high + margin


@dataclass(kw_only=True)
class PlotArea:
    """Axes over (low, high) ranges; marks are drawn in the order they are added."""

    title: str
    description: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    x_label: str = ""
    y_label: str = ""
    width: int = 520
    height: int = 280
    left: int = 58
    bottom: int = 44
    is_x_numeric: bool = True
    is_x_whole: bool = False
    """Then marks stand at whole numbers only."""
    is_y_numeric: bool = True
    is_y_log: bool = False
    """Then `y_range` lies above 0, and smaller values are drawn at its lower end."""
    _marks: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.x = Axis(*self.x_range, self.left, self.width - 14, self.is_x_whole)
        scale = LogAxis if self.is_y_log else Axis
        self.y: Scale = scale(*self.y_range, self.height - self.bottom, 14)

    def line(self, xs: Sequence[float], ys: Sequence[float], name: str, *, style: str = "") -> None:
        """Add a line through points; those that are not finite are left out.

        Args:
            xs: of the points.
            ys: likewise.
            name: colour class.
            style: another class of the page: faint, dashed or dotted.
        """
        points = [
            f"{self.x.pixel(x):.1f},{self.y.pixel(y):.1f}"
            for x, y in zip(xs, ys, strict=True)
            if math.isfinite(x) and math.isfinite(y)
        ]
        classes = f"{name} {style}".strip()
        self._marks.append(f'<polyline class="{classes}" points="{" ".join(points)}"/>')

    def band(
        self, xs: Sequence[float], low: Sequence[float], high: Sequence[float], name: str
    ) -> None:
        """Add an area between two lines over common xs."""
        forth = [(x, y) for x, y in zip(xs, high, strict=True)]
        back = [(x, y) for x, y in zip(xs, low, strict=True)][::-1]
        points = " ".join(
            f"{self.x.pixel(x):.1f},{self.y.pixel(y):.1f}" for x, y in (*forth, *back)
        )
        self._marks.append(f'<polygon class="area {name}" points="{points}"/>')

    def dot(self, x: float, y: float, name: str, hint: str, *, radius: float = 4.0) -> None:
        """Add a dot that says `hint` where a pointer rests on it."""
        self._marks.append(
            f'<circle class="dot {name}" cx="{self.x.pixel(x):.1f}" cy="{self.y.pixel(y):.1f}" '
            f'r="{radius:g}"><title>{escape(hint)}</title></circle>'
        )

    def bar(self, left: float, right: float, height: float, name: str, hint: str) -> None:
        """Add a bar from 0 up to `height`."""
        x, top = self.x.pixel(left), self.y.pixel(height)
        base = self.y.pixel(max(self.y_range[0], 0.0))
        width = max(self.x.pixel(right) - x - 1, 0.5)
        self._marks.append(
            f'<rect class="area {name}" x="{x:.1f}" y="{top:.1f}" '
            f'width="{width:.1f}" height="{max(base - top, 0.0):.1f}">'
            f"<title>{escape(hint)}</title></rect>"
        )

    def across(self, y: float, low: float, high: float, name: str, hint: str) -> None:
        """Add a horizontal interval with end caps."""
        at, start, end = self.y.pixel(y), self.x.pixel(low), self.x.pixel(high)
        caps = f"M{start:.1f} {at - 4:.1f}v8M{end:.1f} {at - 4:.1f}v8"
        self._marks.append(
            f'<path class="whisker {name}" d="M{start:.1f} {at:.1f}H{end:.1f}{caps}">'
            f"<title>{escape(hint)}</title></path>"
        )

    def zone(self, low: float, high: float, hint: str) -> None:
        """Shade a range of x over the whole height."""
        x = self.x.pixel(low)
        self._marks.insert(
            0,
            f'<rect class="zone" x="{x:.1f}" y="14" width="{self.x.pixel(high) - x:.1f}" '
            f'height="{self.height - self.bottom - 14}"><title>{escape(hint)}</title></rect>',
        )

    def upright(self, x: float) -> None:
        """Add a vertical line over the whole height."""
        at = self.x.pixel(x)
        self._marks.append(
            f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="14" '
            f'y2="{self.height - self.bottom}"/>'
        )

    def x_name(self, x: float, text: str, *, is_slanted: bool = False) -> None:
        """Write a name below the x axis."""
        across, down = f"{self.x.pixel(x):.1f}", self.height - self.bottom + 18
        place = f'x="{across}" y="{down}" text-anchor="middle"'
        if is_slanted:
            place = f'transform="translate({across} {down - 4}) rotate(-28)" text-anchor="end"'
        self._marks.append(f"<text {place}>{escape(text)}</text>")

    def y_name(self, y: float, text: str) -> None:
        """Write a name left of the y axis."""
        at = f'x="{self.left - 8}" y="{self.y.pixel(y) + 4:.1f}"'
        self._marks.append(f'<text {at} text-anchor="end">{escape(text)}</text>')

    def figure(self, legend: Sequence[tuple[str, str]] = ()) -> str:
        """Return the figure; `legend` holds (colour class, name)."""
        keys = "".join(f'<span class="key {name}">{escape(text)}</span>' for name, text in legend)
        return (
            f'<figure><figcaption>{escape(self.title)}<span class="legend">{keys}</span>'
            f'</figcaption><svg viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.title)}. {escape(self.description)}">'
            f"{self._grid()}{''.join(self._marks)}</svg></figure>"
        )

    def _grid(self) -> str:
        parts = []
        if self.is_y_numeric:
            for value in self.y.ticks():
                y = self.y.pixel(value)
                parts.append(
                    f'<line class="grid" x1="{self.left}" x2="{self.width - 14}" y1="{y:.1f}" '
                    f'y2="{y:.1f}"/><text x="{self.left - 8}" y="{y + 4:.1f}" '
                    f'text-anchor="end">{value:.4g}</text>'
                )
        if self.is_x_numeric:
            for value in self.x.ticks(about=6):
                x = self.x.pixel(value)
                parts.append(
                    f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="14" '
                    f'y2="{self.height - self.bottom}"/><text x="{x:.1f}" '
                    f'y="{self.height - self.bottom + 18}" text-anchor="middle">{value:.4g}</text>'
                )
        middle = min((self.left + self.width) / 2, self.width / 2 + 40)
        parts.append(
            f'<text class="axis" x="{middle:.0f}" y="{self.height - 6}" '
            f'text-anchor="middle">{escape(self.x_label)}</text>'
        )
        if self.y_label:
            down = (self.height - self.bottom) / 2
            parts.append(
                f'<text class="axis" transform="translate(13 {down:.0f}) rotate(-90)" '
                f'text-anchor="middle">{escape(self.y_label)}</text>'
            )
        return "".join(parts)
