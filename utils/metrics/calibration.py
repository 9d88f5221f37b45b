"""Calibration of scores: detection calibration errors and Brier score.

A score says how often such a detection should be right (D-ECE, Brier), or how often times how well
its box should fit (LaECE, Kuzucu et al. 2405.20459). Detections that are missing have no score and
so no part in this.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from utils.metrics.rows import Booleans, Floats, Integers
from utils.metrics.scored import ScoredDetections

BINS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """Errors in [0, 1], 0 is best; None where there is no detection."""

    d_ece: float | None
    """D-ECE: mean distance of score and precision over bins of the score."""
    la_ece: float | None
    """Mean over classes of the distance of score and precision times mean IoU of the right ones."""
    d_ece_adaptive: float | None
    """D-ECE over bins that contain equally many detections: low scores do not dominate one bin."""
    brier: float | None
    """Brier score: mean squared distance of score and correctness (0 or 1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """One bar of a reliability diagram."""

    count: int
    score: float
    precision: float


def calibration(scored: ScoredDetections, scores: Floats, *, floor: float) -> Calibration:
    """Return the errors of `scores` (K,), which may be recalibrated ones.

    Args:
        scored: the detections.
        scores: one for each, in [0, 1].
        floor: detections whose *own* score is below are left out, so that raw and recalibrated
            scores are evaluated on the same detections.
    """
    kept = scored.scores >= floor
    scored, scores = scored.select(kept), scores[kept]
    if not len(scores):
        return Calibration(d_ece=None, la_ece=None, d_ece_adaptive=None, brier=None)
    right = scored.right.astype(np.float64)
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable")
    return Calibration(
        d_ece=_error(scores, right, _bin_of(scores)),
        la_ece=_location_aware(scored, scores),
        d_ece_adaptive=_error(scores, right, ranks * BINS // len(scores)),
        brier=float(((scores - right) ** 2).mean()),
    )


def reliability(scored: ScoredDetections, scores: Floats, *, floor: float) -> list[ReliabilityBin]:
    """Return the bins, of equal width, that contain a detection; arguments as in `calibration`."""
    kept = scored.scores >= floor
    scores, right = scores[kept], scored.right[kept]
    return [
        ReliabilityBin(
            count=int(inside.sum()),
            score=float(scores[inside].mean()),
            precision=float(right[inside].mean()),
        )
        for inside in _members(_bin_of(scores))
    ]


def _location_aware(scored: ScoredDetections, scores: Floats) -> float:
    """Precision times mean IoU of the right ones is the mean overlap of all, wrong ones as 0."""
    errors = [
        _error(scores[mine], scored.overlap[mine], _bin_of(scores[mine]))
        for mine in (scored.labels == label for label in np.unique(scored.labels))
    ]
    return float(np.mean(errors))


def _error(scores: Floats, quality: Floats, bins: Integers) -> float:
    return float(
        sum(
            inside.sum() / len(scores) * abs(scores[inside].mean() - quality[inside].mean())
            for inside in _members(bins)
        )
    )


def _bin_of(scores: Floats) -> Integers:
    """Return the bin of each score; 1 belongs to the last."""
    return np.minimum((scores * BINS).astype(np.int64), BINS - 1)


def _members(bins: Integers) -> Iterator[Booleans]:
    for number in np.unique(bins):
        yield bins == number
