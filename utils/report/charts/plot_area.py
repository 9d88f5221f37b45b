"""A rectangle with two axes that marks are put into: every chart of every page is one.

The result is one inline SVG in a figure: no script, no plotting library; colours are the classes
`series-0` to `series-7` of the pages' style sheet, and the description is what a screen reader says
instead of the picture.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

from utils.report.charts.axes import Axis, LogAxis, Scale, tick_text

SERIES = 8
"""Colours that a page defines; further series begin again."""
HINTS = 60
"""Most points of a line that say their value where a pointer rests on them."""
_LETTER = 8.0
"""About what a letter is wide, pixels."""
_NARROWEST_LETTER, _WIDEST_LETTER = 6.6, 11.0
"""On a wide page, and on a phone, where the letters are larger in proportion."""
LEAST_ROOM, MOST_ROOM = 62, 240
"""Beside the y axis, pixels."""
LONGEST_NAME = 24
"""Letters of a name beside the y axis; a longer one is cut, and whole where a pointer rests."""
HALF_A_NUMBER = 18
"""Half of what a number below the chart is wide, at most."""

Legend = Sequence[tuple[str, str]]
"""Colour class and name of each series."""


def css(index: int) -> str:
    """Return the classes of a series; colours that come again are drawn dashed."""
    return f"series-{index % SERIES}" + (" again" if index >= SERIES else "")


def legend_of_series(names: Iterable[str]) -> Legend:
    """Return the legend of series in the order of their colours."""
    return [(css(index), name) for index, name in enumerate(names)]


def room_for(names: Iterable[str]) -> int:
    """Return `left` of an area with these names beside its y axis; the longest ones are cut."""
    longest = max(map(len, names), default=0)
    return min(max(math.ceil(_WIDEST_LETTER * longest) + 8, LEAST_ROOM), MOST_ROOM)


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
    left: int = 62
    right: int = 14
    top: int = 14
    bottom: int = 44
    is_x_numeric: bool = True
    is_x_whole: bool = False
    """Then marks stand at whole numbers only."""
    is_y_numeric: bool = True
    is_y_log: bool = False
    """Then `y_range` lies above 0, and smaller values are drawn at its lower end."""
    legend: Legend = ()
    caption: str = ""
    """A line under the title."""
    _marks: list[str] = field(default_factory=list)
    _hints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.x = Axis(*self.x_range, self.left, self.width - self.right, self.is_x_whole)
        scale = LogAxis if self.is_y_log else Axis
        self.y: Scale = scale(*self.y_range, self.height - self.bottom, self.top)

    def line(
        self,
        xs: Sequence[float],
        ys: Sequence[float | None],
        name: str,
        *,
        style: str = "",
        said: str = "",
    ) -> None:
        """Add a line through points; one point alone is a dot.

        A value of None was not measured: the line goes on to the next one. Where a value is not
        finite the line is broken.

        Args:
            xs: of the points.
            ys: likewise.
            name: colour class.
            style: another class of the page: faint, dashed or dotted.
            said: name of the series where points shall say their values to a pointer.
        """
        measured = [(x, y) for x, y in zip(xs, ys, strict=True) if y is not None]
        classes = f"{name} {style}".strip()
        for part in _unbroken(measured):
            places = [f"{self.x.pixel(x):.1f},{self.y.pixel(y):.1f}" for x, y in part]
            if len(part) == 1:
                self.dot(*part[0], name, said and f"{said}: {part[0][1]:.4g}", radius=3)
                continue
            self._marks.append(f'<polyline class="{classes}" points="{" ".join(places)}"/>')
            every = math.ceil(len(part) / HINTS)
            for x, y in part[::every] if said else ():
                self._hint(x, y, f"{self.x_label} {x:g}, {said}: {y:.4g}".strip())

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
            f'r="{radius:g}">{_title(hint)}</circle>'
        )

    def bar(self, left: float, right: float, height: float, name: str, hint: str) -> None:
        """Add a bar from 0 up to `height`, on a logarithmic axis from its lower end."""
        x, top = self.x.pixel(left), self.y.pixel(height)
        base = self.y.pixel(max(self.y_range[0], 0.0))
        width = max(self.x.pixel(right) - x - 1, 0.5)
        self._marks.append(
            f'<rect class="area {name}" x="{x:.1f}" y="{top:.1f}" '
            f'width="{width:.1f}" height="{max(base - top, 0.0):.1f}">{_title(hint)}</rect>'
        )

    def cell(
        self, x: float, y: float, shade: float, hint: str, *, text: str = "", gap: float = 0.0
    ) -> None:
        """Fill the unit square around (x, y) of a map.

        Args:
            x: middle of the cell, whole numbers for a map of rows and columns.
            y: likewise.
            shade: opacity, 0 to 1.
            hint: what it says where a pointer rests on it.
            text: what stands in it.
            gap: pixels that stay free around it.
        """
        left, right = sorted((self.x.pixel(x - 0.5), self.x.pixel(x + 0.5)))
        top, bottom = sorted((self.y.pixel(y - 0.5), self.y.pixel(y + 0.5)))
        self._marks.append(
            f'<rect class="heat" x="{left + gap:.1f}" y="{top + gap:.1f}" '
            f'width="{right - left - 2 * gap:.2f}" height="{bottom - top - 2 * gap:.2f}" '
            f'fill-opacity="{shade:.2f}">{_title(hint)}</rect>'
        )
        if text:
            self._marks.append(
                f'<text class="axis" x="{(left + right) / 2:.1f}" '
                f'y="{(top + bottom) / 2 + 5:.1f}" text-anchor="middle">{escape(text)}</text>'
            )

    def frame(self) -> None:
        """Draw the edge of the area."""
        self._marks.append(
            f'<rect class="frame" x="{self.left - 0.5}" y="{self.top - 0.5}" '
            f'width="{self.width - self.right - self.left + 1}" '
            f'height="{self.height - self.bottom - self.top + 1}"/>'
        )

    def across(self, y: float, low: float, high: float, name: str, hint: str) -> None:
        """Add a horizontal interval with end caps."""
        at, start, end = self.y.pixel(y), self.x.pixel(low), self.x.pixel(high)
        caps = f"M{start:.1f} {at - 4:.1f}v8M{end:.1f} {at - 4:.1f}v8"
        self._marks.append(
            f'<path class="whisker {name}" d="M{start:.1f} {at:.1f}H{end:.1f}{caps}">'
            f"{_title(hint)}</path>"
        )

    def zone(self, low: float, high: float, hint: str) -> None:
        """Shade a range of x over the whole height."""
        x = self.x.pixel(low)
        self._marks.insert(
            0,
            f'<rect class="zone" x="{x:.1f}" y="{self.top}" '
            f'width="{self.x.pixel(high) - x:.1f}" '
            f'height="{self.height - self.bottom - self.top}">{_title(hint)}</rect>',
        )

    def upright(self, x: float) -> None:
        """Add a vertical line over the whole height."""
        at = self.x.pixel(x)
        self._marks.append(
            f'<line class="rule" x1="{at:.1f}" x2="{at:.1f}" y1="{self.top}" '
            f'y2="{self.height - self.bottom}"/>'
        )

    def x_name(self, x: float, text: str, *, slant: int = 0) -> None:
        """Write a name below the x axis, turned by `slant` degrees so that it ends there."""
        across, down = f"{self.x.pixel(x):.1f}", self.height - self.bottom + 18
        place = f'x="{across}" y="{down}" text-anchor="middle"'
        if self.x.pixel(x) + _LETTER * len(text) / 2 > self.width:
            place = f'x="{self.width - 2}" y="{down}" text-anchor="end"'
        if slant:
            place = f'transform="translate({across} {down - 4}) rotate(-{slant})" text-anchor="end"'
        self._marks.append(f"<text {place}>{escape(text)}</text>")

    def y_name(self, y: float, text: str) -> None:
        """Write a name left of the y axis."""
        at = f'x="{self.left - 8}" y="{self.y.pixel(y) + 4:.1f}"'
        most = max(min(int((self.left - 8) / _NARROWEST_LETTER), LONGEST_NAME), 2)
        shown, whole = escape(text), ""
        if len(text) > most:
            shown, whole = f"{escape(text[: most - 1])}&#8230;", f"<title>{escape(text)}</title>"
        self._marks.append(f'<text {at} text-anchor="end">{whole}{shown}</text>')

    def svg(self) -> str:
        """Return grid, numbers and marks, without what points say and the SVG element around."""
        return "".join((*self._grid(), *self._marks))

    def figure(self, legend: Legend | None = None) -> str:
        """Return the figure with its title; `legend` stands for the area's own."""
        pairs = self.legend if legend is None else legend
        keys = "".join(f'<span class="key {name}">{escape(text)}</span>' for name, text in pairs)
        shown = f'<span class="legend">{keys}</span>' if keys else ""
        caption = f'<span class="caption">{escape(self.caption)}</span>' if self.caption else ""
        return (
            f"<figure><figcaption>{escape(self.title)}{shown}{caption}"
            f'</figcaption><svg viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-label="{escape(self.title)}. {escape(self.description)}">'
            f"{self.svg()}{''.join(self._hints)}</svg></figure>"
        )

    def _hint(self, x: float, y: float, hint: str) -> None:
        self._hints.append(
            f'<circle class="hint" cx="{self.x.pixel(x):.1f}" cy="{self.y.pixel(y):.1f}" r="5">'
            f"{_title(hint)}</circle>"
        )

    def _grid(self) -> Iterator[str]:
        foot = self.height - self.bottom
        for value in self.y.ticks() if self.is_y_numeric else ():
            y = self.y.pixel(value)
            yield (
                f'<line class="grid" x1="{self.left}" x2="{self.width - self.right}" y1="{y:.1f}" '
                f'y2="{y:.1f}"/><text x="{self.left - 8}" y="{y + 4:.1f}" '
                f'text-anchor="end">{tick_text(value)}</text>'
            )
        for value in self.x.ticks(about=6) if self.is_x_numeric else ():
            x = self.x.pixel(value)
            # A number at the very end would be cut off.
            place = f'x="{x:.1f}" y="{foot + 18}" text-anchor="middle"'
            if x + HALF_A_NUMBER >= self.width:
                place = f'x="{self.width - 2}" y="{foot + 18}" text-anchor="end"'
            yield (
                f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{self.top}" y2="{foot}"/>'
                f"<text {place}>{tick_text(value)}</text>"
            )
        if self.x_label:
            middle = min((self.left + self.width) / 2, self.width / 2 + 40)
            yield (
                f'<text class="axis" x="{middle:.0f}" y="{self.height - 6}" '
                f'text-anchor="middle">{escape(self.x_label)}</text>'
            )
        if self.y_label:
            yield (
                f'<text class="axis" transform="translate(13 {foot / 2:.0f}) rotate(-90)" '
                f'text-anchor="middle">{escape(self.y_label)}</text>'
            )


def _unbroken(points: Sequence[tuple[float, float]]) -> Iterator[list[tuple[float, float]]]:
    """Yield the runs of points between values that are not finite."""
    part: list[tuple[float, float]] = []
    for x, y in points:
        if math.isfinite(x) and math.isfinite(y):
            part.append((x, y))
        elif part:
            yield part
            part = []
    if part:
        yield part


def _title(hint: str) -> str:
    return f"<title>{escape(hint)}</title>" if hint else ""
