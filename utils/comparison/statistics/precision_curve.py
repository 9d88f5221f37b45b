"""Precision over recall, averaged over classes, with image weights: the curve and its band."""

import numpy as np

from utils.comparison.statistics.match_table import ClassTable, MatchTable
from utils.comparison.statistics.weighted_ap import RECALLS
from utils.metrics.rows import Floats


def mean_precision(table: MatchTable, weights: Floats, *, threshold: int) -> Floats:
    """Return the precision, interpolated as COCO does, at each of 101 recalls.

    Args:
        table: of one run.
        weights: (N, B) of images.
        threshold: position of the IoU threshold: 0 for 0.5, 5 for 0.75.

    Returns:
        (B, 101), mean over the classes that have an object; 0 without any.
    """
    present = [one for one in table.classes if one.num_truths]
    if not present:
        return np.zeros((weights.shape[1], len(RECALLS)))
    return np.asarray(np.mean([_precision(one, weights, threshold) for one in present], axis=0))


def _precision(table: ClassTable, weights: Floats, threshold: int) -> Floats:
    counted = ~table.neutral[threshold]
    image, hit = table.image[counted], table.hit[threshold, counted]
    result = np.zeros((weights.shape[1], len(RECALLS)))
    if not hit.any():
        return result
    last = int(np.flatnonzero(hit)[-1]) + 1
    image, hit = image[:last], hit[:last]
    for column, weight in enumerate(weights.T):
        mine = weight[image]
        right = np.cumsum(mine * hit)
        precision = right / np.maximum(np.cumsum(mine), np.spacing(1))
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        recall = right / max(float(table.truths @ weight), np.spacing(1))
        position = np.searchsorted(recall, RECALLS - 1e-12, side="left")
        reached = position < len(precision)
        result[column, reached] = precision[position[reached]]
    return result
