"""A chart as a file of its own, for slides and papers: the same marks as in a page, with colours.

Word processors, presentations and browsers take SVG as it is; `inkscape --export-type=pdf` makes
what LaTeX takes.
"""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from utils.report.charts.plot_area import PlotArea

STYLE = Path(__file__).with_name("charts.css")
"""The one style sheet of charts, in pages and in files."""
_HEAD = 46
"""Height of title and legend above the panels, pixels."""
_LETTER = 7.2
"""Width of a letter of the legend, about."""


def svg_file(title: str, panels: Sequence[PlotArea]) -> str:
    """Return a file with the panels side by side under a common title.

    The legend is that of the first panel that has one; panels that share a file share their series.
    """
    width = sum(panel.width for panel in panels)
    height = max(panel.height for panel in panels) + _HEAD + (20 if len(panels) > 1 else 0)
    legend = next((panel.legend for panel in panels if panel.legend), ())
    parts = [f'<text class="title" x="14" y="20">{escape(title)}</text>']
    x = 14.0
    for name, text in legend:
        parts.append(
            f'<rect class="key {name}" x="{x:.0f}" y="33" width="16" height="4"/>'
            f'<text x="{x + 21:.0f}" y="40">{escape(text)}</text>'
        )
        x += 40 + _LETTER * len(text)
    across = 0
    for panel in panels:
        down = _HEAD
        if len(panels) > 1:
            down += 20
            parts.append(f'<text x="{across + panel.left}" y="62">{escape(panel.title)}</text>')
        parts.append(f'<g transform="translate({across} {down})">{panel.svg()}</g>')
        across += panel.width
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img"><title>{escape(title)}</title>'
        f"<style>{STYLE.read_text(encoding='utf-8')}</style>"
        f'<rect class="paper" width="{width}" height="{height}"/>{"".join(parts)}</svg>\n'
    )
