"""Table of matches of a run at all IoU thresholds, the input of resampling.

Images are matched independently. So a replicate of the bootstrap, which only weights images, needs
no new matching: `weighted_ap.py` reads these tables with other weights.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from utils.metrics.coco_ap import MAX_DETECTIONS
from utils.metrics.matching import match, overlapping_pairs
from utils.metrics.rows import Booleans, DetectionRows, Floats, Integers, TruthRows

IOU_THRESHOLDS: Floats = np.linspace(0.5, 0.95, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassTable:
    """The detections of one class in all images, best score first; N images, T IoU thresholds.

    image (K,) position of the image; scores (K,); hit (T, K) whether each is a true positive;
    neutral (T, K) whether it is neither true nor false; truths (N,) objects in each image.
    """

    image: Integers
    scores: Floats
    hit: Booleans
    neutral: Booleans
    truths: Integers

    @property
    def num_truths(self) -> int:
        """Objects of the class that are not ignored."""
        return int(self.truths.sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchTable:
    """The tables of all classes of one run on one split."""

    num_images: int
    classes: tuple[ClassTable, ...]


def match_table(truths: TruthRows, detections: DetectionRows) -> MatchTable:
    """Match at the ten COCO thresholds by COCO's rules, all object sizes.

    Args:
        truths: ground truth of the split.
        detections: all detections of the run; of each image and class the best 100 count.
    """
    ranked = best_of_each_class(detections.best_first())
    pairs = overlapping_pairs(truths, ranked)
    hit = np.zeros((len(IOU_THRESHOLDS), len(ranked)), np.bool_)
    neutral = np.zeros_like(hit)
    for row, threshold in enumerate(IOU_THRESHOLDS):
        matching = match(
            truths, ranked, pairs.select(pairs.overlap >= threshold), across_classes=False
        )
        hit[row], neutral[row] = matching.truth >= 0, matching.neutral
    # Sorted once: a mask over all detections for every class would be classes times detections.
    by_class = np.lexsort((-ranked.scores, ranked.labels))
    starts = np.searchsorted(ranked.labels[by_class], range(truths.num_classes + 1))
    rows_of_class = [by_class[first:last] for first, last in pairwise(starts.tolist())]
    return MatchTable(
        num_images=truths.num_images,
        classes=tuple(
            ClassTable(
                image=ranked.image_index[rows],
                scores=ranked.scores[rows],
                hit=hit[:, rows],
                neutral=neutral[:, rows],
                truths=truths_per_image(truths, label),
            )
            for label, rows in enumerate(rows_of_class)
        ),
    )


def best_of_each_class(ranked: DetectionRows) -> DetectionRows:
    """Return the best 100 rows of each image and class, order kept; `ranked` best first."""
    order = np.lexsort((ranked.labels, ranked.image_index))
    group = np.column_stack((ranked.image_index[order], ranked.labels[order]))
    is_first = np.ones(len(order), np.bool_)
    is_first[1:] = (group[1:] != group[:-1]).any(axis=1)
    position = np.arange(len(order))
    rank = position - np.maximum.accumulate(np.where(is_first, position, 0))
    return ranked.select(np.sort(order[rank < MAX_DETECTIONS[-1]]))


def truths_per_image(truths: TruthRows, label: int) -> Integers:
    """Return (N,) the number of objects of class `label` in each image, ignored ones left out."""
    counted = ~truths.ignore & (truths.labels == label)
    return np.bincount(truths.image_index[counted], minlength=truths.num_images)
