"""The four possible verdicts of a comparison, and what would change one."""

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

from utils.comparison.statistics.bootstrap import Replicates
from utils.comparison.statistics.intervals import Interval, t_quantile

Word = Literal["better", "worse", "equivalent", "inconclusive"]
LEARNED_MARGINS = 4
"""Margins that the baseline has to reach before anything is called equivalent."""
FEWEST_FOR_EQUIVALENCE = 3
MOST_SEEDS = 200
"""More seeds than that are reported as out of reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """The decision rule, fixed before training."""

    level: float
    """Of the interval, in (0, 1); a p-value has to be below 1 - level."""
    margin: float
    """Differences smaller than that, in the unit of the difference, do not matter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """What would decide the question if the noise stays as observed; None: out of reach."""

    seeds_for_difference: int | None
    """Until the interval leaves 0, if the true difference is the one seen."""
    seeds_for_equivalence: int | None
    """Until the interval fits into the margin, if the true difference is the one seen."""
    images_factor: float | None
    """Times as many test images, with the seeds there are, for either of the two."""


def decide(
    interval: Interval,
    narrow: Interval,
    p_value: float,
    rule: Rule,
    *,
    num_seeds: int,
    baseline: float = math.inf,
) -> Word:
    """Return the verdict.

    Args:
        interval: of the difference, at the rule's level.
        narrow: the same at level 1 - 2 (1 - level): inside the margin it is two one-sided tests
            (TOST, Schuirmann 1987).
        p_value: of the test over seeds, corrected for the number of arms.
        rule: level and margin.
        num_seeds: pairs; with fewer than two nothing is known of the noise between seeds.
        baseline: what the baseline reaches, in the unit of the difference.
    """
    if num_seeds < 2:
        return "inconclusive"
    if interval.excludes(0.0) and p_value < 1.0 - rule.level:
        return "better" if interval.low > 0 else "worse"
    if why_not_equivalent(rule, num_seeds=num_seeds, baseline=baseline):
        return "inconclusive"
    return "equivalent" if narrow.lies_within(rule.margin) else "inconclusive"


def why_not_equivalent(rule: Rule, *, num_seeds: int, baseline: float) -> str:
    """Return why no interval, however narrow, shows that arms are equivalent; "" where it may.

    Arms that learned nothing differ by less than any margin, and the spread of two seeds is no
    measure of noise: one in ten pairs lies ten times closer together than seeds really do.
    """
    if baseline < LEARNED_MARGINS * rule.margin:
        return (
            f"the baseline reaches {baseline:.2f} points, less than {LEARNED_MARGINS} margins of "
            f"{rule.margin:g}: where little was learned nothing can differ; train longer"
        )
    if num_seeds < FEWEST_FOR_EQUIVALENCE:
        return (
            f"{num_seeds} seeds cannot show that a difference is smaller than {rule.margin:g}: at "
            f"least {FEWEST_FOR_EQUIVALENCE} are needed"
        )
    return ""


def needed(replicates: Replicates, rule: Rule, *, num_seeds: int, min_seeds: int) -> Needed:
    """Return how many more seeds or images an undecided comparison needs.

    Args:
        replicates: of the difference.
        rule: level and margin.
        num_seeds: seeds it has.
        min_seeds: fewest seeds with which the test over seeds can reach the level at all.
    """
    size = abs(replicates.estimate)
    room = rule.margin - size
    enough = range(max(2, num_seeds), MOST_SEEDS + 1)
    difference = next(
        (n for n in enough if n >= min_seeds and _half(replicates, rule, num_seeds, n) < size),
        None,
    )
    equivalence = next(
        (n for n in enough if _half(replicates, rule, num_seeds, n, sides=1) < room), None
    )
    return Needed(
        seeds_for_difference=difference,
        seeds_for_equivalence=equivalence,
        images_factor=_images_factor(replicates, rule, max(size, room)),
    )


def _half(replicates: Replicates, rule: Rule, now: int, seeds: int, sides: int = 2) -> float:
    """Return half the width of the interval that `seeds` seeds would give."""
    shared = replicates.image_variance - replicates.run_noise
    per_seed = (replicates.seed_variance + replicates.run_noise) * now
    quantile = t_quantile(1.0 - (1.0 - rule.level) / sides, seeds - 1.0)
    return quantile * math.sqrt(shared + per_seed / seeds)


def _images_factor(replicates: Replicates, rule: Rule, target: float) -> float | None:
    """Return by what the images would have to grow for a half width of `target`."""
    normal = NormalDist().inv_cdf((1.0 + rule.level) / 2)
    allowed = (target / normal) ** 2 - replicates.seed_variance
    if allowed <= 0 or not replicates.image_variance:
        return None
    return max(1.0, replicates.image_variance / allowed)


def fewest_seeds(level: float, *, num_arms: int, correction: str) -> int:
    """Return with how many seeds the test over seeds can fall below 1 - `level` at all."""
    factor = num_arms if correction == "holm" else 1
    return math.floor(math.log2(2.0 * factor / (1.0 - level) * (1.0 - 1e-12))) + 1
