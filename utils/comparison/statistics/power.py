"""Power analysis of a planned comparison, before training.

The decision rule itself is simulated: seeds' differences are drawn from a normal distribution and
tested by interval and sign flips as the real ones will be. Test images are taken as given.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.schema.comparison import ComparisonSettings
from utils.comparison.statistics.intervals import t_quantile
from utils.comparison.statistics.significance import sign_patterns, smallest_p
from utils.metrics.rows import Booleans, Floats

DRAWS = 2000
WANTED_POWER = 0.8
_MOST_EXACT = 12
"""Seeds up to which sign flips are enumerated; beyond, they and the interval agree."""
_STEPS = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """Numbers of a plan; `sd` and `margin` in the same unit."""

    sd: float
    """Standard deviation of a seed's difference between two arms."""
    margin: float
    level: float = 0.95
    num_arms: int = 1
    """Arms compared with the baseline."""
    correction: str = "holm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Power:
    """Power with a number of seeds."""

    seeds: int
    detectable: float | None
    """Smallest true difference found with a probability of 0.8; None: no difference can be."""
    power_at_margin: float
    """Probability of finding a true difference of the margin."""
    power_of_equivalence: float
    """Probability of the verdict "equivalent" where nothing differs."""


def planned_design(settings: ComparisonSettings) -> Design:
    """Return the assumptions in the settings of a comparison."""
    test = settings.test
    return Design(
        sd=test.expected_sd,
        margin=test.margin,
        level=test.level,
        num_arms=len(settings.arms) - 1,
        correction=test.correction,
    )


def planned_json(settings: ComparisonSettings) -> dict[str, Any]:
    """Return the plan for comparison.json; detectable is None where no difference is."""
    seeds = len(settings.seeds)
    plan = power(planned_design(settings), seeds) if seeds > 1 else None
    return {
        "seeds": seeds,
        "expected_sd": settings.test.expected_sd,
        "detectable": plan and plan.detectable,
    }


def power(design: Design, num_seeds: int) -> Power:
    """Return the power of `num_seeds`, at least 2, seeds under a design."""
    draws = np.random.default_rng(num_seeds).standard_normal((DRAWS, num_seeds))
    return Power(
        seeds=num_seeds,
        detectable=_detectable(design, draws),
        power_at_margin=float(_found(design, draws, design.margin).mean()),
        power_of_equivalence=float(_equivalent(design, draws).mean()),
    )


def _detectable(design: Design, draws: Floats) -> float | None:
    if not _can_reach(design, draws.shape[1]):
        return None
    low, high = 0.0, 20.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _found(design, draws, middle * design.sd).mean() >= WANTED_POWER:
            high = middle
        else:
            low = middle
    return high * design.sd


def _can_reach(design: Design, num_seeds: int) -> bool:
    smallest = smallest_p(num_seeds, num_arms=design.num_arms, correction=design.correction)
    return smallest < 1.0 - design.level


def _found(design: Design, draws: Floats, effect: float) -> Booleans:
    """Tell in which draws (M, R) an effect would be called better (M,)."""
    deltas = effect + design.sd * draws
    low = deltas.mean(axis=1) - _half(deltas, (1.0 + design.level) / 2)
    significant = low > 0
    if deltas.shape[1] <= _MOST_EXACT:
        arms = design.num_arms if design.correction == "holm" else 1
        significant &= _sign_flips(deltas) * arms < 1.0 - design.level
    return np.asarray(significant, np.bool_)


def _sign_flips(deltas: Floats) -> Floats:
    """Return (M,) two-sided p-values; half of the patterns are the other half's negatives."""
    num_seeds = deltas.shape[1]
    patterns = sign_patterns(num_seeds)[: 2 ** (num_seeds - 1)]
    flipped = np.abs(deltas @ patterns.T)
    return np.asarray((flipped >= np.abs(deltas.sum(axis=1))[:, None] * (1 - 1e-12)).mean(axis=1))


def _equivalent(design: Design, draws: Floats) -> Booleans:
    deltas = design.sd * draws
    half = _half(deltas, design.level)
    return np.asarray(np.abs(deltas.mean(axis=1)) + half < design.margin, np.bool_)


def _half(deltas: Floats, probability: float) -> Floats:
    num_seeds = deltas.shape[1]
    quantile = t_quantile(probability, num_seeds - 1.0)
    return np.asarray(quantile * deltas.std(axis=1, ddof=1) / np.sqrt(num_seeds))
