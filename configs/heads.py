"""Traits of detection heads needed before torch is loaded: the one table of configs and models.

A head is the last row of a graph. Its layers and the meaning of its output are in `models/heads`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadTraits:
    """has_objectness: each prediction has an objectness beside its classes, else only classes.
    has_anchors: boxes are coded relative to anchors, which the graph then gives or counts.
    default_bins: bins of the distributions it codes box sides as, unless the graph's row gives them
        after nc; 0 where it has none. encodes: its decoder has an inverse, so that
    coded values can have a loss of their own.
    """

    has_objectness: bool
    has_anchors: bool
    default_bins: int = 0
    encodes: bool = False


HEAD_TRAITS: dict[str, HeadTraits] = {
    "Detect": HeadTraits(has_objectness=True, has_anchors=True),
    "Retina": HeadTraits(has_objectness=False, has_anchors=True),
    "Joint": HeadTraits(has_objectness=False, has_anchors=False, default_bins=8, encodes=True),
    "YOLOX": HeadTraits(has_objectness=True, has_anchors=False, encodes=True),
    "SharedJoint": HeadTraits(has_objectness=False, has_anchors=False, encodes=True),
}
"""Block name of a graph's last row -> its traits; as many lines as `models.heads.HEADS`."""


def head_name(graph: Mapping[str, object]) -> str | None:
    """Return the block of a graph's last row, None where it does not say."""
    last = _last_row(graph)
    return str(last[2]) if len(last) > 2 else None


def head_traits(graph: Mapping[str, object]) -> HeadTraits | None:
    """Return the traits of a graph's head, None where it has none that is known."""
    return HEAD_TRAITS.get(head_name(graph) or "")


def distribution_bins(graph: Mapping[str, object]) -> int:
    """Return the bins of the distributions of a graph's head, 0 where it has none."""
    traits, last = head_traits(graph), _last_row(graph)
    if traits is None or not traits.default_bins:
        return 0
    arguments = _arguments(last)
    stated = arguments[1] if len(arguments) > 1 else traits.default_bins
    return stated if isinstance(stated, int) else 0


def with_bins(graph: Mapping[str, object], bins: int) -> Mapping[str, object]:
    """Return a graph whose head codes box sides as distributions of so many bins; the same graph
    where it has that many, or a head without distributions.
    """
    if distribution_bins(graph) in (0, bins):
        return graph
    rows, last = graph["head"], list(_last_row(graph))
    arguments = _arguments(last) or ["nc"]
    last[3:4] = [[arguments[0], bins, *arguments[2:]]]
    return {**graph, "head": [*cast(Sequence[Any], rows)[:-1], last]}


def _arguments(row: Sequence[Any]) -> Sequence[Any]:
    return row[3] if len(row) > 3 and isinstance(row[3], list | tuple) else ()


def _last_row(graph: Mapping[str, object]) -> Sequence[Any]:
    rows = graph.get("head")
    last = rows[-1] if isinstance(rows, list | tuple) and rows else ()
    return last if isinstance(last, list | tuple) else ()
