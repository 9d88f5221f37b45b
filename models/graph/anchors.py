"""Anchors of graphs that only count them, and their order.

They are a start; `model.anchors: auto` fits anchors to the data.
"""

from collections.abc import Sequence

from configs.errors import ConfigError
from models.graph.rows import Graph
from models.heads import HEADS
from models.heads.detection_head import LevelAnchors


def default_anchors(graph: Graph, strides: Sequence[int]) -> tuple[LevelAnchors, ...] | None:
    """Return (width, height) in pixels for each level and anchor of a graph that counts them, None
    where the head has none.

    Raises:
        ConfigError: the number does not suit the head.
    """
    try:
        return HEADS[graph.rows[-1].block].default_anchors(strides, graph.num_anchors)
    except ValueError as error:
        raise ConfigError(f"{graph.source}: anchors: {error}") from error


def order_anchors(anchors: tuple[LevelAnchors, ...]) -> tuple[LevelAnchors, ...]:
    """Return the anchors with their levels reversed if they run from large to small areas."""
    first, last = (sum(width * height for width, height in anchors[end]) for end in (0, -1))
    return anchors[::-1] if first > last else anchors
