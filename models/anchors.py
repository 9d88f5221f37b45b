"""Anchors of graphs that only count them, and their order.

They are a start; `model.anchors: auto` fits anchors to the data.
"""

import math
from collections.abc import Callable, Mapping, Sequence

from configs.errors import ConfigError
from models.graph import Graph, LevelAnchors

SMALLEST_SQUARE = 3.0
"""Smallest default anchor of `Detect` in strides; published ones are about 1.4 to 11 wide."""

RETINA_SIDE = 4.0
"""Side in strides of the smallest square anchor of `Retina`: 32 px at stride 8."""
RETINA_RATIOS = (0.5, 1.0, 2.0)
"""Height over width of `Retina`'s anchors."""


def default_anchors(graph: Graph, strides: Sequence[int]) -> tuple[LevelAnchors, ...]:
    """Return (width, height) in pixels for each level and anchor of a graph that counts them.

    Raises:
        ConfigError: the number does not suit the head.
    """
    try:
        return DEFAULTS[graph.rows[-1].block](strides, graph.num_anchors)
    except ValueError as error:
        raise ConfigError(f"{graph.source}: anchors: {error}") from error


def square_anchors(strides: Sequence[int], num_anchors: int) -> tuple[LevelAnchors, ...]:
    """Return squares that cover one octave per level.

    Anchor k of A on a level of stride s has sides 3 s 2^(k / A), so neighbouring levels join up.
    """
    octave = [2 ** (k / num_anchors) for k in range(num_anchors)]
    sides = [[SMALLEST_SQUARE * stride * factor for factor in octave] for stride in strides]
    return tuple(tuple((side, side) for side in level) for level in sides)


def retina_anchors(strides: Sequence[int], num_anchors: int) -> tuple[LevelAnchors, ...]:
    """Return three shapes of equal area for each of A / 3 sizes within the level's octave.

    Size k on a level of stride s has the area of a square of side 4 s 2^(3 k / A). By size, then by
    height over width 0.5, 1, 2. Source: Lin et al. 2017, arXiv 1708.02002, section 4, for A = 9.

    Raises:
        ValueError: A is not a multiple of 3.
    """
    num_sizes, rest = divmod(num_anchors, len(RETINA_RATIOS))
    if rest:
        raise ValueError(f"Retina has 3 shapes of each size; {num_anchors} is no multiple of 3")
    octave = [2 ** (k / num_sizes) for k in range(num_sizes)]
    return tuple(
        tuple(
            (RETINA_SIDE * stride * factor / root, RETINA_SIDE * stride * factor * root)
            for factor in octave
            for root in map(math.sqrt, RETINA_RATIOS)
        )
        for stride in strides
    )


DEFAULTS: Mapping[str, Callable[[Sequence[int], int], tuple[LevelAnchors, ...]]] = {
    "Detect": square_anchors,
    "Retina": retina_anchors,
}


def order_anchors(anchors: tuple[LevelAnchors, ...]) -> tuple[LevelAnchors, ...]:
    """Return the anchors with their levels reversed if they run from large to small areas."""
    first, last = (sum(width * height for width, height in anchors[end]) for end in (0, -1))
    return anchors[::-1] if first > last else anchors
