"""Comparisons made of runs that did happen: arms and test images drawn from a pool of detections.

R seeds of an arm, N images of a comparison. The runs of an arm are drawn from the pool, no run
twice in a comparison, and paired as they come. Images are drawn with replacement: the pool's images
are then all that there is, and the mAP on them the true one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from configs.schema.comparison import VerdictSettings
from tests.utils.comparison.detection_pool import DetectionPool, read_pool
from utils.comparison.statistics.match_table import ClassTable, MatchTable, match_table
from utils.comparison.statistics.replication import (
    RunReplicates,
    Weights,
    draw_weights,
    replicate_run,
)
from utils.comparison.statistics.weighted_ap import mean_over_classes, weighted_class_ap
from utils.comparison.summary.arm_result import NAMES, ArmResult, difference, judge_arms
from utils.metrics.rows import DetectionRows, Integers

TEST = VerdictSettings(bootstrap=200, margin=1.0)
"""The rule as it ships, with fewer replicates, which is what a comparison of seconds costs."""
SEEDS = 6
IMAGES = 50
ARM = "arm"


@dataclass(frozen=True, slots=True)
class Draw:
    """What one comparison compares: positions in the pool."""

    baseline: Integers
    """(R,)"""
    arm: Integers
    """(R,), none of the baseline's."""
    images: Integers
    """(N,), some more than once."""


@dataclass(frozen=True, slots=True)
class Change:
    """What makes the arm another one than the baseline."""

    lost: float
    """Share of its detections that each run loses by chance."""
    same_runs: bool = False
    """Whether the arm is made of the baseline's own runs, so that the choice of images is what
    varies; else of other runs, whose spread is larger than anything images do."""

    @property
    def effect(self) -> float:
        """What it costs: all runs, all images, in points of mAP."""
        ones = np.ones((pool().truths.num_images, 1))
        reached = [
            np.mean([mean_over_classes(weighted_class_ap(t, ones))[0, 0] for t in tables_of(share)])
            for share in (self.lost, 0.0)
        ]
        return float(100 * (reached[0] - reached[1]))


@lru_cache
def pool() -> DetectionPool:
    """Return the stored pool, read once."""
    return read_pool()


def draw(rng: np.random.Generator, *, seeds: int = SEEDS, images: int = IMAGES) -> Draw:
    """Draw the runs and images of a comparison."""
    runs = rng.permutation(len(pool().runs))[: 2 * seeds]
    drawn = rng.integers(0, pool().truths.num_images, images)
    return Draw(runs[:seeds], runs[seeds:], drawn)


def judge(one: Draw, changes: Sequence[Change]) -> dict[Change, ArmResult]:
    """Compare as compare.py does, once for each change of the arm."""
    baseline_tables = [chosen_images(tables_of(0.0)[run], one.images) for run in one.baseline]
    weights = draw_weights(baseline_tables[0], TEST.bootstrap, TEST.weights)
    baseline = replicates_of(baseline_tables, weights)
    results = {}
    for change in changes:
        runs = one.baseline if change.same_runs else one.arm
        tables = [chosen_images(tables_of(change.lost)[run], one.images) for run in runs]
        arm = replicates_of(tables, weights)
        differences = {
            name: difference(arm, baseline, list(arm), column, weights, TEST)
            for column, name in enumerate(NAMES)
        }
        results[change] = judge_arms({ARM: differences}, TEST)[ARM]
    return results


def replicates_of(tables: Sequence[MatchTable], weights: Weights) -> dict[int, RunReplicates]:
    """Return the runs of an arm under all weights, by seed: 0, 1, 2, ..."""
    return {seed: replicate_run(table, weights) for seed, table in enumerate(tables)}


@lru_cache
def tables_of(lost: float) -> tuple[MatchTable, ...]:
    """Return the table of every run of the pool, after a share of its detections is lost."""
    return tuple(
        match_table(pool().truths, thinned(run, lost, seed)) for seed, run in enumerate(pool().runs)
    )


def thinned(run: DetectionRows, lost: float, seed: int) -> DetectionRows:
    """Return a run without a share of its detections, chosen by chance, each run's its own."""
    return run.select(np.random.default_rng((seed, 5)).random(len(run)) >= lost)


def chosen_images(table: MatchTable, images: Integers) -> MatchTable:
    """Return the table of other images: `images` (N,) of the old ones, in a new order."""
    order = np.argsort(images, kind="stable")
    ends = np.searchsorted(images[order], np.arange(table.num_images + 1))
    return MatchTable(
        num_images=len(images),
        classes=tuple(_class_of(one, images, order, ends) for one in table.classes),
    )


def _class_of(table: ClassTable, images: Integers, order: Integers, ends: Integers) -> ClassTable:
    """Repeat each detection for every place that its image has; the order by score stays."""
    copies = np.diff(ends)[table.image]
    rows = np.repeat(np.arange(len(table.image)), copies)
    first = np.repeat(ends[table.image], copies)
    nth = np.arange(len(rows)) - np.repeat(np.cumsum(copies) - copies, copies)
    return ClassTable(
        image=order[first + nth],
        scores=table.scores[rows],
        hit=table.hit[:, rows],
        neutral=table.neutral[:, rows],
        truths=table.truths[images],
    )
