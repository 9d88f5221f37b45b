"""Match of anchors and box sizes, by the rule of the anchor-ratio assigner.

N boxes, L levels, A anchors per level. Sizes are (width, height) in pixels of the network input.
"""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

SizeArray: TypeAlias = npt.NDArray[np.floating[Any]]


def similarity(sizes_wh: SizeArray, anchors: SizeArray) -> npt.NDArray[np.float64]:
    """Return the similarity of every box and anchor: the worse side's ratio, smaller over larger.

    Args:
        sizes_wh: (N, 2) box sizes; a side of 0 gives 0.
        anchors: (..., 2) anchor sizes, positive.

    Returns:
        (N, K) in [0, 1], K the number of anchors in order; 1 means equal sizes.
    """
    boxes = np.asarray(sizes_wh, np.float64).reshape(-1, 1, 2)
    priors = np.asarray(anchors, np.float64).reshape(1, -1, 2)
    return np.asarray((np.minimum(boxes, priors) / np.maximum(boxes, priors)).min(axis=2))


def matches(sizes_wh: SizeArray, anchors: SizeArray, max_ratio: float) -> npt.NDArray[np.bool_]:
    """Return (N, K): whether no side differs by `max_ratio` or more, either way round.

    The comparison is strict, as in the assigner (docs/recipe_sources.md#assignment).
    """
    return similarity(sizes_wh, anchors) > 1 / max_ratio


def best_possible_recall(sizes_wh: SizeArray, anchors: SizeArray, max_ratio: float) -> float:
    """Return the best possible recall: the share of boxes that at least one anchor matches.

    Args:
        sizes_wh: (N, 2) box sizes.
        anchors: (L, A, 2) anchor sizes.
        max_ratio: greater than 1; the assigner's limit on the ratio of sides.

    Returns:
        0 to 1; 1 where there are no boxes.
    """
    if len(sizes_wh) == 0:
        return 1.0
    return float(matches(sizes_wh, anchors, max_ratio).any(axis=1).mean())


def anchor_fitness(sizes_wh: SizeArray, anchors: SizeArray, max_ratio: float) -> float:
    """Return the mean similarity of boxes (N, 2) and their best anchor; unmatched boxes count 0.

    0 to 1, where 1 means that every box has an anchor of its size; 1 where there are no boxes.
    Anchor refinement raises it (docs/recipe_sources.md#anchors).
    """
    if len(sizes_wh) == 0:
        return 1.0
    best = similarity(sizes_wh, anchors).max(axis=1)
    return float(np.where(best > 1 / max_ratio, best, 0.0).mean())
