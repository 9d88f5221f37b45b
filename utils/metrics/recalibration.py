"""Recalibration of scores by a monotone map: isotonic regression, and the inverse of focal loss."""

import numpy as np

from utils.metrics.rows import Booleans, Floats
from utils.structures.score_calibrator import ScoreCalibrator

ORDER_SHARE = 0.02
"""Share of the score itself in a map that has to rise strictly: enough that scores which differ
still differ after rounding, too little to spoil the calibration."""
LEAST_ORDER_SHARE = 0.001
"""The same for a map that rises by itself, but at its ends by less than numbers can tell."""


def fit_isotonic(scores: Floats, right: Booleans) -> ScoreCalibrator:
    """Return the rising map of least squared error (pool adjacent violators).

    Args:
        scores: (K,) of detections; equal ones get equal values.
        right: (K,) whether each is right. No detections give the identity.
    """
    if not len(scores):
        return ScoreCalibrator.identity()
    knots, position = np.unique(scores, return_inverse=True)
    weights = np.bincount(position).astype(np.float64)
    means = np.bincount(position, weights=right.astype(np.float64)) / weights
    blocks: list[tuple[float, float, int]] = []
    for mean, weight in zip(means.tolist(), weights.tolist(), strict=True):
        size = 1
        while blocks and blocks[-1][0] >= mean:
            below_mean, below_weight, below_size = blocks.pop()
            mean = (mean * weight + below_mean * below_weight) / (weight + below_weight)
            weight, size = weight + below_weight, size + below_size
        blocks.append((mean, weight, size))
    if len(knots) == 1:  # one score alone: the same frequency everywhere
        return ScoreCalibrator((0.0, 1.0), (blocks[0][0],) * 2)
    values = np.concatenate([np.full(size, mean) for mean, _, size in blocks])
    return ScoreCalibrator.of(knots, values)


def undo_focal(scores: Floats, *, gamma: float, alpha: float | None) -> Floats:
    """Return the probabilities that focal loss turns into `scores` at its minimum.

    Focal loss is not proper: where the truth is 1 with probability q, its minimum lies at another
    p. This is the exact inverse of that for one branch (Charoenphakdee et al., arXiv 2011.09172;
    docs/losses.md#what-focal-loss-does-to-scores), rising, so AP does not change. A detection's
    score is the product of two branches, for which it is an approximation.

    Args:
        scores: (K,) in [0, 1].
        gamma: focusing exponent, at least 0; 0 without alpha changes nothing.
        alpha: weight of positives, None for none.
    """
    positive = 0.5 if alpha is None else alpha
    p = np.clip(scores, 1e-7, 1.0 - 1e-7)
    up = (1.0 - positive) * _slope(1.0 - p, gamma)
    down = positive * _slope(p, gamma)
    return np.asarray(up / (down + up), np.float64)


def _slope(p: Floats, gamma: float) -> Floats:
    """How fast the loss of a positive falls with p."""
    return np.asarray((1 - p) ** gamma / p - gamma * (1 - p) ** (gamma - 1) * np.log(p))


def fit_rising(scores: Floats, right: Booleans) -> ScoreCalibrator:
    """Return a map near `fit_isotonic` that rises strictly from score 0 to score 1.

    The steps of isotonic regression make many scores equal, and with that another AP. Here each
    step is one point at the mean of its scores, straight lines between (centred isotonic
    regression, Oron and Flournoy 2017), mixed with a little of the score itself.

    Args:
        scores: (K,) of detections, 0 to 1.
        right: (K,) whether each is right. No detections give the identity.
    """
    if not len(scores):
        return ScoreCalibrator.identity()
    steps, block = np.unique(fit_isotonic(scores, right)(scores), return_inverse=True)
    centres = np.bincount(block, weights=scores) / np.bincount(block)
    inside = (centres > 0.0) & (centres < 1.0)
    knots = np.concatenate([[0.0], centres[inside], [1.0]])
    # Constant beyond the last step: that all above it are right is more than the data say.
    frequencies = np.concatenate([[0.0], steps[inside], steps[-1:]])
    return ScoreCalibrator.of(knots, (1 - ORDER_SHARE) * frequencies + ORDER_SHARE * knots)


def tabulate_undo_focal(
    *, gamma: float, alpha: float | None, points: int = 1025
) -> ScoreCalibrator:
    """Return `undo_focal` as straight lines between `points` scores, from 0 to 1.

    The scores lie evenly in the logit, where the map bends.
    """
    logits = np.linspace(-12.0, 12.0, points - 2)
    inner = 1.0 / (1.0 + np.exp(-logits))
    exact = undo_focal(inner, gamma=gamma, alpha=alpha)
    values = (1 - LEAST_ORDER_SHARE) * exact + LEAST_ORDER_SHARE * inner
    return ScoreCalibrator.of(
        np.concatenate([[0.0], inner, [1.0]]), np.concatenate([[0.0], values, [1.0]])
    )
