"""One arm against the baseline: difference, interval, p-value, verdict and what would change it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from configs.schema.comparison import VerdictSettings
from utils.comparison.statistics.bootstrap import Replicates
from utils.comparison.statistics.intervals import Interval, bca_interval, percentile_interval
from utils.comparison.statistics.power import Design, power
from utils.comparison.statistics.replication import (
    RunReplicates,
    Weights,
    paired_replicates,
    stacked,
)
from utils.comparison.statistics.significance import holm, max_statistic_p, sign_flip_p
from utils.comparison.statistics.verdict import (
    Needed,
    Rule,
    Word,
    decide,
    fewest_seeds,
    needed,
    why_not_equivalent,
)

NAMES = ("map50_95", "map50", "map75")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """An arm minus the baseline in one of mAP50-95, AP50 and AP75, in points."""

    delta: float
    by_seed: Mapping[int, float]
    percentile: Interval
    bca: Interval
    narrow: Interval
    """At level 1 - 2 (1 - level), of the kind that decides: for equivalence."""
    replicates: Replicates

    def deciding(self, kind: str) -> Interval:
        """Return the interval that decides."""
        return self.bca if kind == "bca" else self.percentile


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmResult:
    """The verdict on an arm and its grounds."""

    name: str
    seeds: tuple[int, ...]
    """Seeds with a finished run of the arm and of the baseline."""
    differences: Mapping[str, Difference]
    """By name: map50_95 decides."""
    p_value: float
    """Of the sign-flip test over seeds."""
    p_corrected: float
    word: Word
    needed: Needed
    bar: str = ""
    """Why the arm cannot be called equivalent at any interval."""

    @property
    def main(self) -> Difference:
        """The difference in mAP50-95."""
        return self.differences[NAMES[0]]


def difference(
    arm: Mapping[int, RunReplicates],
    baseline: Mapping[int, RunReplicates],
    seeds: Sequence[int],
    metric: int,
    weights: Weights,
    test: VerdictSettings,
) -> Difference:
    """Compare two arms over the seeds that both have."""
    deltas = stacked(arm, baseline, seeds, metric)
    replicates = paired_replicates(deltas, weights)
    interval = bca_interval if test.interval == "bca" else percentile_interval
    return Difference(
        delta=replicates.estimate,
        by_seed=dict(zip(seeds, (float(d) for d in deltas[:, 0]), strict=True)),
        percentile=percentile_interval(replicates, test.level),
        bca=bca_interval(replicates, test.level),
        narrow=interval(replicates, 2 * test.level - 1),
        replicates=replicates,
    )


def judge_arms(
    differences: Mapping[str, Mapping[str, Difference]],
    test: VerdictSettings,
    *,
    baseline: float = math.inf,
) -> dict[str, ArmResult]:
    """Return the verdict on every arm.

    Args:
        differences: by arm, then by name.
        test: rule of the comparison.
        baseline: mean mAP50-95 of the baseline, points.
    """
    deltas = {arm: by_name[NAMES[0]].by_seed for arm, by_name in differences.items()}
    single = {arm: sign_flip_p(list(by_seed.values())) for arm, by_seed in deltas.items()}
    corrected = _corrected(single, deltas, test.correction)
    rule = Rule(level=test.level, margin=test.margin)
    fewest = fewest_seeds(test.level, num_arms=len(deltas), correction=test.correction)
    results = {}
    for arm, by_name in differences.items():
        main, num_seeds = by_name[NAMES[0]], len(deltas[arm])
        results[arm] = ArmResult(
            name=arm,
            seeds=tuple(deltas[arm]),
            differences=by_name,
            p_value=single[arm],
            p_corrected=corrected[arm],
            word=decide(
                main.deciding(test.interval),
                main.narrow,
                corrected[arm],
                rule,
                num_seeds=num_seeds,
                baseline=baseline,
            ),
            bar=why_not_equivalent(rule, num_seeds=num_seeds, baseline=baseline),
            needed=needed(main.replicates, rule, num_seeds=num_seeds, min_seeds=fewest),
        )
    return results


def _corrected(
    single: Mapping[str, float], deltas: Mapping[str, Mapping[int, float]], correction: str
) -> dict[str, float]:
    if correction == "none":
        return dict(single)
    same_seeds = len({tuple(by_seed) for by_seed in deltas.values()}) == 1
    if correction == "max" and same_seeds:
        return max_statistic_p({arm: list(by_seed.values()) for arm, by_seed in deltas.items()})
    # Where an arm lost a run, signs can no longer be flipped together: Holm needs no such thing.
    return holm(single)


def result_json(result: ArmResult, test: VerdictSettings) -> dict[str, Any]:
    """Return the entry of an arm in comparison.json."""
    main = result.main
    deciding = main.deciding(test.interval)
    return {
        "verdict": result.word,
        "delta": main.delta,
        "interval": [deciding.low, deciding.high],
        "interval_percentile": [main.percentile.low, main.percentile.high],
        "interval_bca": [main.bca.low, main.bca.high],
        "interval_equivalence": [main.narrow.low, main.narrow.high],
        "p": result.p_corrected,
        "p_uncorrected": result.p_value,
        "deltas": {str(seed): delta for seed, delta in main.by_seed.items()},
        "standard_error": main.replicates.standard_error,
        "seed_sd": (main.replicates.seed_variance * len(result.seeds)) ** 0.5,
        "image_standard_error": main.replicates.image_variance**0.5,
        "needed": asdict(result.needed),
        "others": {
            name: {"delta": one.delta, "interval": [*_ends(one.deciding(test.interval))]}
            for name, one in result.differences.items()
            if name != NAMES[0]
        },
    }


def detectable(result: ArmResult, test: VerdictSettings, *, num_arms: int) -> float | None:
    """Return the smallest true difference found with a probability of 80 % by so many seeds.

    The spread between seeds is the one that was seen. None where nothing can be found, or no
    spread is known.
    """
    deltas = list(result.main.by_seed.values())
    sd = float(np.std(deltas, ddof=1)) if len(deltas) > 1 else 0.0
    if not sd:
        return None
    design = Design(
        sd=sd,
        margin=test.margin,
        level=test.level,
        num_arms=num_arms,
        correction=test.correction,
    )
    return power(design, len(deltas)).detectable


def _ends(interval: Interval) -> tuple[float, float]:
    return interval.low, interval.high
