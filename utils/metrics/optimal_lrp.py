"""Optimal localisation-recall-precision error (oLRP), and the score threshold that reaches it.

LRP (Oksuz et al., 1807.01696) adds up, over all objects and false positives, the localisation error
of true positives (scaled to 1 at the IoU threshold), 1 for each false positive and 1 for each miss.
oLRP is its minimum over score thresholds: unlike AP it gives an operating point.
"""

from dataclasses import dataclass

import numpy as np

from utils.metrics.scored import ScoredDetections

_IOU_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimalLrp:
    """Error in [0, 1], 0 is best; means over classes that have objects, None without any."""

    error: float | None
    threshold: float | None
    """Mean of the classes' best score thresholds."""
    by_class: tuple[tuple[float, float] | None, ...]
    """(error, threshold) of each class; without a detection error 1 at threshold 1."""


def optimal_lrp(scored: ScoredDetections) -> OptimalLrp:
    """Return oLRP at IoU 0.5."""
    by_class = tuple(
        _class_lrp(scored.select(scored.labels == label), int(count)) if count else None
        for label, count in enumerate(scored.truths)
    )
    known = np.array([one for one in by_class if one is not None]).reshape(-1, 2)
    return OptimalLrp(
        error=float(known[:, 0].mean()) if len(known) else None,
        threshold=float(known[:, 1].mean()) if len(known) else None,
        by_class=by_class,
    )


def _class_lrp(scored: ScoredDetections, num_truths: int) -> tuple[float, float]:
    if not len(scored.scores):
        return 1.0, 1.0
    hits = np.cumsum(scored.right)
    misfit = np.cumsum(np.where(scored.right, 1.0 - scored.overlap, 0.0)) / (1 - _IOU_THRESHOLD)
    false_alarms = np.arange(1, len(hits) + 1) - hits
    error = (misfit + false_alarms + num_truths - hits) / (num_truths + false_alarms)
    # Detections of equal scores are kept or dropped together.
    is_last = np.append(scored.scores[1:] != scored.scores[:-1], True)
    best = int(np.argmin(np.where(is_last, error, np.inf)))
    return (float(error[best]), float(scored.scores[best])) if error[best] < 1 else (1.0, 1.0)
