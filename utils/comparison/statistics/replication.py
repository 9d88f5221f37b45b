"""mAP of every run under the same image weights, the basis of all intervals."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from utils.comparison.statistics.bootstrap import (
    ImageWeights,
    Replicates,
    all_but_one,
    hierarchical_replicates,
    image_weights,
    seed_shares,
)
from utils.comparison.statistics.match_table import MatchTable
from utils.comparison.statistics.weighted_ap import mean_over_classes, weighted_class_ap
from utils.metrics.rows import Floats

FEW_IMAGES = 50
"""A class on fewer images would be absent from some draws with replacement."""
MOST_GROUPS = 500
"""Columns of the jackknife; more images are left out in groups."""
_POINTS = 100.0
_BOOTSTRAP_SEED = 20_170_807


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """(N, 1 + B + G) image weights: all ones, B replicates, G columns of the jackknife."""

    columns: Floats
    replicates: int
    kind: ImageWeights


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReplicates:
    """One run under all weights, in points: mean (W, 3) mAP, AP50, AP75; by_class (W, C)."""

    mean: Floats
    by_class: Floats


def draw_weights(
    table: MatchTable, replicates: int, kind: Literal["auto", "counts", "dirichlet"]
) -> Weights:
    """Draw the image weights that serve all runs; `table` of any of them gives the ground truth."""
    chosen: ImageWeights = kind if kind != "auto" else _fitting_kind(table)
    images = table.num_images
    drawn = image_weights(images, replicates, kind=chosen, seed=_BOOTSTRAP_SEED)
    left_out = all_but_one(images, min(images, MOST_GROUPS))
    columns = np.concatenate([np.ones((images, 1)), drawn, left_out], axis=1)
    return Weights(columns=columns, replicates=replicates, kind=chosen)


def _fitting_kind(table: MatchTable) -> ImageWeights:
    on_images = [int((one.truths > 0).sum()) for one in table.classes if one.num_truths]
    return "dirichlet" if min(on_images, default=0) < FEW_IMAGES else "counts"


def replicate_run(table: MatchTable, weights: Weights) -> RunReplicates:
    """Return AP of a run under all weights."""
    by_class = _POINTS * weighted_class_ap(table, weights.columns)
    return RunReplicates(mean=mean_over_classes(by_class), by_class=by_class[:, :, 0])


def paired_replicates(deltas: Floats, weights: Weights) -> Replicates:
    """Return how the mean over seeds of `deltas` (R, W), differences under all weights, varies.

    A class without objects in a replicate, NaN, is put at the estimate: it says nothing there.
    """
    filled = np.where(np.isnan(deltas), deltas[:, :1], deltas)
    first, last = 1, 1 + weights.replicates
    return hierarchical_replicates(
        filled[:, 0],
        filled[:, first:last],
        seed_shares(len(filled), weights.replicates, seed=_BOOTSTRAP_SEED),
        filled[:, last:],
    )


def stacked(
    arm: Mapping[int, RunReplicates],
    baseline: Mapping[int, RunReplicates],
    seeds: Sequence[int],
    metric: int,
) -> Floats:
    """Return (R, W) differences of a mean (0 mAP, 1 AP50, 2 AP75) between two arms, by seed."""
    return np.array([arm[s].mean[:, metric] - baseline[s].mean[:, metric] for s in seeds])
