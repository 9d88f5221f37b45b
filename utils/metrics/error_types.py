"""Kinds of errors: the confusion matrix, and what each kind costs AP (TIDE)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from utils.metrics.coco_ap import hotcoco_evaluation
from utils.metrics.matching import Matching
from utils.metrics.rows import DetectionRows, Integers, TruthRows


def confusion_matrix(
    truths: TruthRows, detections: DetectionRows, matching: Matching, *, threshold: float
) -> Integers:
    """Return the confusion matrix: ground-truth class (row) by detected class (column).

    Args:
        truths: ground truth of the split; ignored objects are in no cell.
        detections: the rows that were matched.
        matching: of those rows *across classes*, so that a box in the right place with the wrong
            class is a confusion, not a miss and a false alarm.
        threshold: detections scored below it count as not made.

    Returns:
        (C + 1, C + 1); the last column counts missed objects, the last row detections on
        background, on images without objects too; their common cell is 0.
    """
    background = truths.num_classes
    kept = detections.scores >= threshold
    hit = kept & (matching.truth >= 0)
    false_alarm = kept & (matching.truth < 0) & ~matching.neutral
    missed = ~truths.ignore
    missed[matching.truth[hit]] = False
    rows = [truths.labels[matching.truth[hit]], truths.labels[missed]]
    rows.append(np.full(false_alarm.sum(), background))
    columns = [detections.labels[hit], np.full(missed.sum(), background)]
    columns.append(detections.labels[false_alarm])
    counts = np.zeros((background + 1, background + 1), np.int64)
    np.add.at(counts, (np.concatenate(rows), np.concatenate(columns)), 1)
    return counts


KINDS = ("Cls", "Loc", "Both", "Dupe", "Bkg", "Miss")


@dataclass(frozen=True, slots=True)
class ErrorTypes:
    """delta_ap: AP50, in [0, 1], that fixing each kind would gain; counts: how many."""

    delta_ap: Mapping[str, float]
    counts: Mapping[str, int]


def error_types(truths: TruthRows, detections: DetectionRows) -> ErrorTypes:
    """Split errors into wrong class, wrong place, both, duplicates, background and misses.

    An IoU of 0.5 is right, one below 0.1 is background.
    """
    found = hotcoco_evaluation(truths, detections).tide_errors(pos_thr=0.5, bg_thr=0.1)
    return ErrorTypes(
        delta_ap={kind: float(found["delta_ap"][kind]) for kind in KINDS},
        counts={kind: int(found["counts"][kind]) for kind in KINDS},
    )
