"""Confidence intervals of bootstrap replicates: percentile and BCa, widened by Student's t."""

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from utils.comparison.statistics.bootstrap import Replicates
from utils.metrics.rows import Floats

_POINTS = 20_001
_NEARLY_NORMAL = 10_000.0


@lru_cache(maxsize=256)
def t_quantile(probability: float, degrees: float) -> float:
    """Return the quantile at `probability`, in (0, 1).

    With x = sqrt(degrees) tan(angle) the density becomes a power of the cosine on a finite range,
    which the trapezoidal rule integrates to six digits.

    Args:
        probability: between 0 and 1, both excluded.
        degrees: degrees of freedom, at least 1, need not be whole; the normal distribution from
            10000 on.
    """
    if not 0.0 < probability < 1.0 or degrees < 1.0:
        raise ValueError(f"probability in (0, 1), degrees >= 1; got {probability}, {degrees}")
    if degrees >= _NEARLY_NORMAL:
        return NormalDist().inv_cdf(probability)
    if probability < 0.5:
        return -t_quantile(1.0 - probability, degrees)
    angle, share = _distribution(degrees)
    return math.sqrt(degrees) * math.tan(float(np.interp(probability, share, angle)))


def t_probability(value: float, degrees: float) -> float:
    """Return the share below `value`; degrees of freedom as in `t_quantile`."""
    if degrees >= _NEARLY_NORMAL:
        return NormalDist().cdf(value)
    if value < 0:
        return 1.0 - t_probability(-value, degrees)
    angle, share = _distribution(degrees)
    return float(np.interp(math.atan(value / math.sqrt(degrees)), angle, share))


@lru_cache(maxsize=64)
def _distribution(degrees: float) -> tuple[Floats, Floats]:
    """Return angles from 0 and the share of the distribution below each."""
    angle = np.linspace(0.0, math.pi / 2, _POINTS)
    height = np.cos(angle) ** (degrees - 1.0)
    area = np.concatenate([[0.0], np.cumsum((height[1:] + height[:-1]) / 2)])
    return angle, 0.5 + 0.5 * area / area[-1]


def normal_equivalent(probability: float, degrees: float) -> float:
    """Return the probability whose normal quantile is the t quantile of `probability`.

    A percentile interval of few units is too short; reading it at this wider level corrects that
    (Hesterberg 2015, section 5.3: the expanded percentile interval).
    """
    return NormalDist().cdf(t_quantile(probability, degrees))


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
    """Return the quantiles of the replicates that contain a share of `level`, in (0, 1)."""
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
