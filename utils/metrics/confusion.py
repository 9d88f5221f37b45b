"""Which class is taken for which: the confusion matrix of detection, background included."""

import numpy as np

from utils.metrics.matching import Matching
from utils.metrics.rows import DetectionRows, Integers, TruthRows


def confusion_matrix(
    truths: TruthRows, detections: DetectionRows, matching: Matching, *, threshold: float
) -> Integers:
    """Count truths by true class (row) and found class (column).

    Args:
        truths: all truths; ignored ones are in no cell.
        detections: the rows that were matched.
        matching: of those rows *across classes*, so that a box in the right place with the wrong
            class is a confusion, not a miss and a false alarm.
        threshold: detections scored below it count as not made.

    Returns:
        (C + 1, C + 1); the last column counts truths that were missed, the last row detections
        where there is nothing, on images without truths too; their common cell is 0.
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
