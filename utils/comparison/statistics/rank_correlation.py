"""Spearman's rank correlation."""

import numpy as np
import numpy.typing as npt

from utils.metrics.rows import Floats


def rank_correlation(one: npt.ArrayLike, other: npt.ArrayLike) -> float | None:
    """Return Spearman's correlation of two columns (K,), in [-1, 1].

    None with fewer than three rows, or where a column has one value only.
    """
    ranks = np.array([ranks_of(column) for column in (one, other)])
    if ranks.shape[1] < 3:
        return None
    ranks -= ranks.mean(axis=1, keepdims=True)
    spread = float(np.sqrt((ranks**2).sum(axis=1).prod()))
    return float((ranks[0] * ranks[1]).sum() / spread) if spread else None


def ranks_of(values: npt.ArrayLike) -> Floats:
    """Rank from 0; equal values share the mean of their ranks."""
    _, position, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    first = np.cumsum(counts) - counts
    return np.asarray((first + (counts - 1) / 2)[position], np.float64)
