"""What scores are good for: F1 over the threshold, and whether they rank boxes by their fit."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from utils.metrics.rows import Floats
from utils.metrics.scored import ScoredDetections

THRESHOLDS: Floats = np.linspace(0.0, 1.0, 51)
OVERLAP_EDGES: Floats = np.linspace(0.5, 1.0, 11)


def f1_curve(scored: ScoredDetections) -> Floats:
    """Return F1 at each of `THRESHOLDS` (51,): all classes pooled, IoU 0.5; 0 without objects."""
    kept = np.searchsorted(-scored.scores, -THRESHOLDS, side="right")
    right = np.concatenate([[0], np.cumsum(scored.right)])[kept]
    return np.asarray(2.0 * right / np.maximum(kept + scored.truths.sum(), 1), np.float64)


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
