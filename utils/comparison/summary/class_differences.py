"""Differences of AP by class, and their correlation with class frequency."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from utils.comparison.statistics.intervals import bootstrap_p, percentile_interval
from utils.comparison.statistics.rank_correlation import rank_correlation
from utils.comparison.statistics.replication import Weights, paired_replicates
from utils.comparison.statistics.significance import benjamini_hochberg
from utils.metrics.rows import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassDifference:
    """AP of one class, arm minus baseline, in points."""

    name: str
    delta: float
    low: float
    high: float
    p: float
    is_discovery: bool
    """After Benjamini-Hochberg over the classes."""
    train_objects: int | None
    test_objects: int


def class_differences(
    deltas: Floats,
    weights: Weights,
    *,
    names: Sequence[str],
    train_objects: Sequence[int | None],
    test_objects: Sequence[int],
    level: float,
    rate: float,
) -> list[ClassDifference]:
    """Return the difference of every class that has an object in the test split.

    Args:
        deltas: (R, W, C) differences of AP by seed, weights and class.
        weights: the weights.
        names: of the classes.
        train_objects: objects of each class in the training split, None where unknown.
        test_objects: the same in the test split.
        level: of the intervals.
        rate: share of false ones allowed among the discoveries.
    """
    found: list[dict[str, Any]] = []
    for label, name in enumerate(names):
        if not test_objects[label]:
            continue
        replicates = paired_replicates(deltas[:, :, label], weights)
        interval = percentile_interval(replicates, level)
        found.append(
            {
                "name": name,
                "delta": replicates.estimate,
                "low": interval.low,
                "high": interval.high,
                "p": bootstrap_p(replicates),
                "train_objects": train_objects[label],
                "test_objects": test_objects[label],
            }
        )
    discoveries = benjamini_hochberg([one["p"] for one in found], rate=rate)
    return [
        ClassDifference(**one, is_discovery=bool(discovery))
        for one, discovery in zip(found, discoveries, strict=True)
    ]


def classes_json(found: Sequence[ClassDifference]) -> dict[str, Any]:
    """Return the classes and their rank correlation."""
    return {
        "classes": [asdict(one) for one in found],
        "up": sum(one.delta > 0 for one in found),
        "down": sum(one.delta < 0 for one in found),
        "discoveries": [one.name for one in found if one.is_discovery],
        "rank_correlation_with_train_objects": frequency_correlation(found),
    }


def frequency_correlation(found: Sequence[ClassDifference]) -> float | None:
    """Return Spearman's correlation of difference and number of training objects.

    Negative: rare classes gain more. None with fewer than three classes or all alike.
    """
    known = [(one.delta, one.train_objects) for one in found if one.train_objects is not None]
    return rank_correlation([delta for delta, _ in known], [count for _, count in known])
