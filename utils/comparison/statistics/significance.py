"""Significance tests over seeds, with corrections for multiple comparisons. A arms, R seeds."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from utils.metrics.rows import Booleans, Floats

EXACT_SEEDS = 16
"""Up to so many seeds all 2^R sign patterns are tried; beyond, `SAMPLED_FLIPS` random ones."""
SAMPLED_FLIPS = 65_536
_TIE = 1e-12


def sign_flip_p(deltas: Sequence[float] | Floats) -> float:
    """Return the two-sided p-value of paired differences by flipping their signs.

    Without any effect each seed's difference is as likely as its negative (Fisher). The smallest
    possible value is 2 / 2^R: fewer than six seeds can never fall below 0.05.
    """
    return max_statistic_p({"only": deltas})["only"]


def max_statistic_p(deltas: Mapping[str, Sequence[float] | Floats]) -> dict[str, float]:
    """Return p-values that hold for all arms together (Westfall and Young's step-down maximum).

    The signs of a seed are flipped for all arms at once, and an arm's mean difference is compared
    with the largest one of this arm and of those that differ less. Arms share seeds and baseline,
    so six seeds can be enough for any number of arms, which Holm's correction does not allow; an
    arm pays for noisy arms of larger differences instead.

    Args:
        deltas: arm -> (R,) differences to the baseline, the same seeds in the same order.
    """
    names = list(deltas)
    matrix = np.array([np.asarray(deltas[name], np.float64) for name in names])
    observed = np.abs(matrix.mean(axis=1))
    flipped = np.abs(sign_patterns(matrix.shape[1]) @ matrix.T / matrix.shape[1])
    p_values: dict[str, float] = {}
    largest = 0.0
    remaining = list(np.argsort(-observed, kind="stable"))
    while remaining:
        arm = remaining[0]
        reached = flipped[:, remaining].max(axis=1) >= observed[arm] * (1.0 - _TIE) - _TIE
        largest = max(largest, float(reached.mean()))
        p_values[names[arm]] = largest
        remaining = remaining[1:]
    return {name: p_values[name] for name in names}


def sign_patterns(num_seeds: int) -> Floats:
    """Return all (2^R, R) patterns of +1 and -1, or random ones, the unflipped one included."""
    if num_seeds <= EXACT_SEEDS:
        return np.array(list(product((1.0, -1.0), repeat=num_seeds)))
    drawn = np.random.default_rng(0).choice((-1.0, 1.0), size=(SAMPLED_FLIPS, num_seeds))
    drawn[0] = 1.0
    return np.asarray(drawn)


def smallest_p(num_seeds: int, *, num_arms: int, correction: str) -> float:
    """Return the smallest corrected p-value that so many seeds can give the best of the arms."""
    factor = num_arms if correction == "holm" else 1
    return min(1.0, factor * 2.0 / 2.0 ** min(num_seeds, EXACT_SEEDS))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values corrected for multiple comparisons by Holm's step-down method (Holm 1979)."""
    corrected: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = largest
    return {name: corrected[name] for name in p_values}


def benjamini_hochberg(p_values: Sequence[float] | Floats, *, rate: float) -> Booleans:
    """Tell which of (C,) p-values are discoveries, of which a share of `rate` may be false."""
    values = np.asarray(p_values, np.float64)
    order = np.argsort(values, kind="stable")
    passed = values[order] <= rate * np.arange(1, len(values) + 1) / max(len(values), 1)
    found = np.zeros(len(values), np.bool_)
    if passed.any():
        found[order[: int(np.flatnonzero(passed)[-1]) + 1]] = True
    return found
