"""What is known of a detection head before torch is loaded: the one table of configs and models.

A head is the last row of a graph. Its layers and the meaning of its output are in `models/heads`.
"""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadTraits:
    """has_objectness: each prediction has an objectness beside its classes, else only classes.
    has_anchors: boxes are coded relative to anchors, which the graph then states or counts.
    """

    has_objectness: bool
    has_anchors: bool


HEAD_TRAITS: dict[str, HeadTraits] = {
    "Detect": HeadTraits(has_objectness=True, has_anchors=True),
    "Retina": HeadTraits(has_objectness=False, has_anchors=True),
    "Joint": HeadTraits(has_objectness=False, has_anchors=False),
    "YOLOX": HeadTraits(has_objectness=True, has_anchors=False),
}
"""Block name of a graph's last row -> its traits; as many lines as `models.heads.HEADS`."""


def head_name(graph: Mapping[str, object]) -> str | None:
    """Return the block of a graph's last row, None where it does not say."""
    rows = graph.get("head")
    last = rows[-1] if isinstance(rows, list | tuple) and rows else None
    return str(last[2]) if isinstance(last, list | tuple) and len(last) > 2 else None


def head_traits(graph: Mapping[str, object]) -> HeadTraits | None:
    """Return the traits of a graph's head, None where it has none that is known."""
    return HEAD_TRAITS.get(head_name(graph) or "")
