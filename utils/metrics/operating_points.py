"""Precision, recall and F1 at chosen score thresholds; false alarms at equal recall; optimal LRP.

Precision is the share of true positives among the detections that are not neutral; recall the share
of the ground-truth objects, ignored ones left out, that were detected. Pooled metrics count every
object alike, so a frequent class weighs more than a rare one; per-class metrics are given as well.

The best F1 does not change if a loss shifts all scores; the point at a score of 0.25 does. All
classes pooled, IoU 0.5.
"""

from dataclasses import dataclass

import numpy as np

from utils.metrics.rows import Booleans, Floats
from utils.metrics.scored import ScoredDetections


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """Precision, recall and F1 of detections of at least `threshold`; 0 where undefined."""

    threshold: float
    precision: float
    recall: float
    f1: float


def point_at(
    scores: Floats, right: Booleans, *, num_truths: int, threshold: float
) -> OperatingPoint:
    """Return the operating point of detections with a score of at least `threshold`.

    Args:
        scores: (K,) of the detections that are not neutral, any order.
        right: (K,) whether each is a true positive.
        num_truths: ground-truth objects that are not ignored.
        threshold: score, 0 to 1.
    """
    kept = right[scores >= threshold]
    hits = int(kept.sum())
    return OperatingPoint(
        threshold=threshold,
        precision=hits / len(kept) if len(kept) else 0.0,
        recall=hits / num_truths if num_truths else 0.0,
        f1=2 * hits / (len(kept) + num_truths) if len(kept) + num_truths else 0.0,
    )


def best_point(scores: Floats, right: Booleans, *, num_truths: int) -> OperatingPoint | None:
    """Return the point of highest F1; ties go to the highest threshold.

    Arguments as in `point_at`. None where no detection is right: then no threshold is better than
    another. Thresholds are the scores that occur.
    """
    if not right.any():
        return None
    order = np.argsort(-scores, kind="stable")
    falling, hits = scores[order], np.cumsum(right[order])
    last_of_equals = np.append(falling[1:] != falling[:-1], True)
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + num_truths)
    best = int(np.argmax(np.where(last_of_equals, f1, -1.0)))
    return point_at(scores, right, num_truths=num_truths, threshold=float(falling[best]))


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
