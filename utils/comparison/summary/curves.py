"""Curves of a comparison: precision over recall with its band, and score against IoU."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.comparison.statistics.match_table import ClassTable, MatchTable
from utils.comparison.statistics.weighted_ap import RECALLS
from utils.metrics.rows import Floats
from utils.metrics.scored import ScoredDetections


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


OVERLAP_EDGES: Floats = np.linspace(0.5, 1.0, 11)


def score_by_overlap(runs: Sequence[ScoredDetections]) -> list[dict[str, Any]]:
    """Return quartiles of the scores of right detections by their IoU, bins without any left out.

    Args:
        runs: detections of every seed; all are pooled.
    """
    overlap = np.concatenate([one.overlap[one.right] for one in runs])
    scores = np.concatenate([one.scores[one.right] for one in runs])
    bins = np.clip(np.searchsorted(OVERLAP_EDGES, overlap, side="right") - 1, 0, 9)
    found = []
    for number in np.unique(bins):
        low, median, high = np.quantile(scores[bins == number], [0.25, 0.5, 0.75])
        found.append(
            {
                "overlap": float(OVERLAP_EDGES[number : number + 2].mean()),
                "count": int((bins == number).sum()),
                "low": float(low),
                "median": float(median),
                "high": float(high),
            }
        )
    return found
