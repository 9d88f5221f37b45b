"""Precision, recall and F1 over score thresholds, and the best threshold of each class.

IoU 0.5, as in `operating_points.py`, whose points these curves pass through.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from utils.metrics.operating_points import OperatingPoint, best_point, point_at
from utils.metrics.rows import Floats
from utils.metrics.scored import ScoredDetections

THRESHOLDS: Floats = np.round(np.linspace(0.0, 1.0, 101), 2)
NEAR_BEST = 0.99
"""Share of the best F1 that counts as equally good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreCurve:
    """precision, recall, f1 (101,) at `THRESHOLDS`; precision is NaN where nothing is detected."""

    precision: Floats
    recall: Floats
    f1: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassThreshold:
    """The score threshold of a class's best F1, and how sensitive F1 is to it."""

    num_truths: int
    best: OperatingPoint | None
    """None where no detection of the class is right."""
    nearly_best: tuple[float, float] | None
    """Lowest and highest score of a detection that as threshold gives at least 99 % of the best F1;
    None where there is no best."""
    f1_at_shared: float
    """F1 with the threshold that is shared by all classes."""


def score_curve(found: ScoredDetections, label: int | None = None) -> ScoreCurve:
    """Return the curve of a class, or of all classes pooled where `label` is None."""
    if label is not None:
        found = found.select(found.labels == label)
    num_truths = int(found.truths.sum() if label is None else found.truths[label])
    rising = found.scores[::-1]
    hits_from = np.append(np.cumsum(found.right)[::-1], 0)
    first = np.searchsorted(rising, THRESHOLDS, side="left")
    kept, hits = len(rising) - first, hits_from[first].astype(np.float64)
    return ScoreCurve(
        precision=np.where(kept > 0, hits / np.maximum(kept, 1), np.nan),
        recall=hits / max(num_truths, 1),
        f1=2 * hits / np.maximum(kept + num_truths, 1),
    )


def class_thresholds(found: ScoredDetections, *, shared: float) -> list[ClassThreshold]:
    """Return the threshold of every class; `shared` is the one to compare with, 0 to 1."""
    return [_of_class(found, label, shared) for label in range(len(found.truths))]


def mean_f1(thresholds: Sequence[ClassThreshold]) -> tuple[float, float]:
    """Return the mean F1 over classes with objects: each at its own threshold, all at the shared
    one; 0 without such a class.
    """
    judged = [one for one in thresholds if one.num_truths]
    if not judged:
        return 0.0, 0.0
    own = [one.best.f1 if one.best else 0.0 for one in judged]
    return float(np.mean(own)), float(np.mean([one.f1_at_shared for one in judged]))


def _of_class(found: ScoredDetections, label: int, shared: float) -> ClassThreshold:
    mine = found.select(found.labels == label)
    num_truths = int(found.truths[label])
    best = best_point(mine.scores, mine.right, num_truths=num_truths)
    point = point_at(mine.scores, mine.right, num_truths=num_truths, threshold=shared)
    near = None if best is None else _nearly_best(mine, num_truths, best.f1)
    return ClassThreshold(num_truths=num_truths, best=best, nearly_best=near, f1_at_shared=point.f1)


def _nearly_best(mine: ScoredDetections, num_truths: int, best_f1: float) -> tuple[float, float]:
    """Return the lowest and highest score that is nearly as good; detections (K,) best first."""
    last_of_equals = np.append(mine.scores[1:] != mine.scores[:-1], True)
    f1 = 2 * np.cumsum(mine.right) / (np.arange(1, len(mine.scores) + 1) + num_truths)
    good = mine.scores[last_of_equals & (f1 >= NEAR_BEST * best_f1)]
    return float(good[-1]), float(good[0])
