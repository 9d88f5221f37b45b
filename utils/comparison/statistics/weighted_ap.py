"""AP with a weight per image: COCO's AP where all weights are 1, a bootstrap replicate elsewhere.

Precision peaks and recall grows at true positives only, so the curves are kept at those few
positions, and of the many false positives only the summed weight in between. A replicate of 500
images with 80 classes takes about a millisecond. B replicates, C classes, N images, P positions
where a detection is right at some threshold, T IoU thresholds.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from utils.comparison.statistics.match_table import ClassTable, MatchTable
from utils.metrics.rows import Floats, Integers

RECALLS: Floats = np.linspace(0.0, 1.0, 101)
"""Recalls at which COCO reads the precision, in pycocotools' own rounding."""
AP, AP50, AP75 = 0, 1, 2
"""Positions of the three numbers in the last axis of `weighted_class_ap`."""
_CELLS_AT_ONCE = 200_000
"""Maximum P * T * B of one block, to fit into a core's cache."""
_ROUNDING = 1e-12


def weighted_class_ap(table: MatchTable, weights: Floats) -> Floats:
    """Return AP, AP50 and AP75 of each class under each column of image weights.

    Args:
        table: of one run.
        weights: (N, B) how often each image counts, at least 0; need not be whole.

    Returns:
        (B, C, 3); NaN where the class has no object of positive weight.
    """
    if weights.shape[0] != table.num_images:
        raise ValueError(f"weights of {weights.shape[0]} images, table of {table.num_images}")
    ap = np.full((weights.shape[1], len(table.classes), 3), np.nan)
    for label, one in enumerate(table.classes):
        for columns in _blocks(one, weights.shape[1]):
            by_threshold = weighted_ap(one, np.ascontiguousarray(weights[:, columns]))
            ap[columns, label, AP] = by_threshold.mean(axis=0)
            ap[columns, label, AP50] = by_threshold[0]
            ap[columns, label, AP75] = by_threshold[5]
    return ap


def mean_over_classes(class_ap: Floats) -> Floats:
    """Return mAP, mAP50, mAP75 (B, 3) of (B, C, 3); absent classes are left out, none gives 0."""
    present = ~np.isnan(class_ap)
    total = np.where(present, class_ap, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(present.sum(axis=1), 1))


def weighted_ap(table: ClassTable, weights: Floats) -> Floats:
    """Return (T, B) AP of one class; weights (N, B). NaN where no object has weight."""
    truth_weight = table.truths @ weights
    num_thresholds, num_columns = len(table.hit), weights.shape[1]
    positions = np.flatnonzero(table.hit.any(axis=0))
    if not len(positions):
        return np.where(truth_weight > 0, 0.0, np.nan) * np.ones((num_thresholds, 1))
    right = weights[table.image[positions], None, :] * table.hit[:, positions].T[:, :, None]
    _accumulate(right)
    recall = right / np.where(truth_weight > 0, truth_weight, np.inf)
    judged = _judged_weight(table, positions, weights)
    precision = np.divide(right, judged + np.spacing(1), out=right)
    for position in range(len(positions) - 2, -1, -1):
        np.maximum(precision[position], precision[position + 1], out=precision[position])
    read = _recalls_reached(recall, is_whole=bool((weights == np.rint(weights)).all()))
    read[1:] -= read[:-1].copy()
    total = np.einsum("ptb,ptb->tb", precision, read)
    return np.where(truth_weight > 0, total / len(RECALLS), np.nan)[:, :num_columns]


def _recalls_reached(recall: Floats, *, is_whole: bool) -> Floats:
    """Return how many of `RECALLS` lie at or below each recall (P, T, B).

    Decided by the very comparison that pycocotools makes, on the only candidate that is in doubt.
    Sums of weights that are not whole may miss equality by rounding, and get some room.
    """
    nearest = np.rint(recall * (len(RECALLS) - 1)).astype(np.int64)
    room = 0.0 if is_whole else _ROUNDING
    reached = RECALLS.take(nearest) <= recall + room
    return np.asarray(nearest + reached, np.float64)


def _judged_weight(table: ClassTable, positions: npt.NDArray[np.intp], weights: Floats) -> Floats:
    """Return the weight of detections that count, up to each position: (P, 1 or T, B)."""
    everything = np.arange(positions[-1] + 1)
    seen = _weight_up_to(positions, everything, table.image, weights)[:, None, :]
    if not table.neutral.any():
        return seen
    neutral = [
        _weight_up_to(positions, np.flatnonzero(row), table.image, weights) for row in table.neutral
    ]
    return np.asarray(seen - np.stack(neutral, axis=1))


def _weight_up_to(
    positions: npt.NDArray[np.intp],
    rows: npt.NDArray[np.intp],
    image: Integers,
    weights: Floats,
) -> Floats:
    """Return (P, B) the summed weight of those detections `rows` that stand at or before each."""
    segment = np.searchsorted(positions, rows)
    rows, segment = rows[segment < len(positions)], segment[segment < len(positions)]
    total = np.zeros((len(positions), weights.shape[1]))
    if len(rows):
        occupied, starts = np.unique(segment, return_index=True)
        total[occupied] = np.add.reduceat(weights.take(image[rows], axis=0), starts, axis=0)
    _accumulate(total)
    return total


def _accumulate(values: Floats) -> None:
    """Sum up along the first axis, in place; row by row is six times faster than `cumsum` here."""
    for row in range(1, len(values)):
        values[row] += values[row - 1]


def _blocks(table: ClassTable, num_columns: int) -> Iterator[slice]:
    cells = max(1, int(table.hit.any(axis=0).sum()) * len(table.hit))
    width = max(8, _CELLS_AT_ONCE // cells)
    for start in range(0, num_columns, width):
        yield slice(start, min(start + width, num_columns))
