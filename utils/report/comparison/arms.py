"""What all charts of a comparison share: the arms, their colours and the legend."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from utils.report.charts.plot_area import css

Arms = Mapping[str, Mapping[str, Any]]
"""Name -> entry of comparison.json, in the order that gives the colours."""
ROW = 26
"""Height of a row of a chart with one row an arm, pixels."""


def color_of(arms: Arms, name: str) -> str:
    """Return the colour class of an arm."""
    return css(list(arms).index(name))


def legend_of(arms: Arms, names: Iterable[str] | None = None) -> Sequence[tuple[str, str]]:
    """Return the legend of the arms `names`, of all where None."""
    return [(color_of(arms, name), name) for name in (arms if names is None else names)]
