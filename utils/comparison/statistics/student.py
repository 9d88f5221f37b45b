"""Student's t distribution, which the few seeds of a comparison need; numpy has only its draws."""

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from utils.metrics.rows import Floats

_POINTS = 20_001
_NEARLY_NORMAL = 10_000.0


@lru_cache(maxsize=256)
def t_quantile(probability: float, degrees: float) -> float:
    """Return the value below which a share of `probability`, in (0, 1), lies.

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

    A percentile interval of few units is too short; reading it at this wider level mends that
    (Hesterberg 2015, section 5.3: the expanded percentile interval).
    """
    return NormalDist().cdf(t_quantile(probability, degrees))
