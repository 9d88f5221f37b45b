"""Operating points that can be compared: false alarms at equal recall, recall at equal alarms.

A loss that shifts all scores changes what happens at a score of 0.25, and nothing here. All classes
pooled, IoU 0.5.
"""

import numpy as np

from utils.metrics.scored import ScoredDetections


def false_alarms_at_recall(scored: ScoredDetections, recall: float) -> float | None:
    """Return false alarms per image where `recall`, in (0, 1], is reached; None if it never is."""
    hits = np.cumsum(scored.right)
    reached = np.flatnonzero(hits >= recall * scored.truths.sum() - 1e-9)
    if not len(reached) or not scored.truths.sum():
        return None
    return float(reached[0] + 1 - hits[reached[0]]) / max(scored.num_images, 1)


def recall_at_false_alarms(scored: ScoredDetections, per_image: float) -> float:
    """Return the recall that allows at most `per_image` false alarms per image."""
    alarms = np.cumsum(~scored.right)
    allowed = int(np.searchsorted(alarms, per_image * scored.num_images, side="right"))
    return float(scored.right[:allowed].sum()) / max(int(scored.truths.sum()), 1)
