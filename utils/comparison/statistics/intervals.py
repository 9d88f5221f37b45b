"""Confidence intervals of bootstrap replicates: percentile and BCa, both widened for few seeds."""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from utils.comparison.statistics.bootstrap import Replicates
from utils.comparison.statistics.student import normal_equivalent, t_probability, t_quantile

_NORMAL = NormalDist()
_DEGREES_LIMIT = 1e6


@dataclass(frozen=True, slots=True)
class Interval:
    """Lower and upper end."""

    low: float
    high: float

    def excludes(self, value: float) -> bool:
        """Tell whether `value` lies outside."""
        return not self.low <= value <= self.high

    def lies_within(self, margin: float) -> bool:
        """Tell whether all of it is nearer to 0 than `margin`."""
        return -margin < self.low and self.high < margin


def percentile_interval(replicates: Replicates, level: float) -> Interval:
    """Return the quantiles of the replicates that hold a share of `level`, in (0, 1)."""
    tail = normal_equivalent((1.0 - level) / 2, _finite(replicates.degrees))
    return _between(replicates, tail, 1.0 - tail)


def bca_interval(replicates: Replicates, level: float) -> Interval:
    """Return the bias-corrected and accelerated interval (Efron 1987).

    It moves the percentiles by the median bias of the replicates and by their skewness.
    """
    values = replicates.values
    equal = (values == replicates.estimate).mean()
    below = float((values < replicates.estimate).mean() + equal / 2)
    half = 0.5 / len(values)
    bias = _NORMAL.inv_cdf(min(max(below, half), 1.0 - half))
    quantile = t_quantile((1.0 + level) / 2, _finite(replicates.degrees))

    def adjusted(normal: float) -> float:
        shifted = bias + normal
        return _NORMAL.cdf(bias + shifted / max(1.0 - replicates.acceleration * shifted, 1e-3))

    return _between(replicates, adjusted(-quantile), adjusted(quantile))


def bootstrap_p(replicates: Replicates) -> float:
    """Return a two-sided p-value from the share of replicates beyond 0.

    As the intervals, it is made larger where few seeds let the replicates vary too little.
    """
    count = len(replicates.values)
    beyond = min((replicates.values <= 0).sum(), (replicates.values >= 0).sum())
    tail = (int(beyond) + 1) / (count + 1)
    if tail >= 0.5:
        return 1.0
    return 2.0 * t_probability(_NORMAL.inv_cdf(tail), _finite(replicates.degrees))


def _between(replicates: Replicates, low: float, high: float) -> Interval:
    ends = np.quantile(replicates.values, [low, high])
    return Interval(float(ends[0]), float(ends[1]))


def _finite(degrees: float) -> float:
    return min(degrees, _DEGREES_LIMIT)
