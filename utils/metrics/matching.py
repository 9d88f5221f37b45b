"""Match detections and ground truth at IoU 0.5, for operating points and confusion matrix.

COCO's rules for one IoU threshold: in order of descending score, each detection is matched with the
unmatched object it overlaps most (ties: the last); one without a match but within an ignored object
of its class is neutral. Matches do not depend on detections with lower scores, so one matching
serves every score threshold.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from utils.metrics.rows import Booleans, DetectionRows, Floats, Integers, TruthRows

IOU_THRESHOLD = 0.5
ROUNDING = 1e-6
"""More than what rounding can change of a share of a width."""
BLOCK = 1 << 16
"""Pairs computed at a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Pairs of detection and ground-truth object of one image that overlap enough, of any classes.

    detection, truth (P,) row numbers; overlap (P,) IoU, for an ignored object the share of the
    detection's area that lies within it.
    """

    detection: Integers
    truth: Integers
    overlap: Floats

    def select(self, mask: Booleans) -> "Pairs":
        """Return the pairs where `mask` (P,) is true."""
        return Pairs(
            detection=self.detection[mask], truth=self.truth[mask], overlap=self.overlap[mask]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Matching:
    """truth (K,): row of the object matched with each detection, -1 for none; neutral (K,) bool."""

    truth: Integers
    neutral: Booleans


def overlapping_pairs(
    truths: TruthRows, detections: DetectionRows, *, at_least: float = IOU_THRESHOLD
) -> Pairs:
    """Return all pairs of overlap >= `at_least`, above 0; `detections` sorted by image.

    Goes through blocks of detections, so memory does not grow with the data.
    """
    first_truth = np.searchsorted(truths.image_index, detections.image_index, side="left")
    num_truths = np.searchsorted(truths.image_index, detections.image_index, side="right")
    num_truths -= first_truth
    before = np.concatenate([[0], np.cumsum(num_truths)])
    blocks = np.searchsorted(before, np.arange(0, before[-1] + BLOCK, BLOCK))
    found = [(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))]
    left, width = truths.boxes[:, 0].copy(), truths.boxes[:, 2].copy()
    for start, end in pairwise(np.unique(blocks.clip(max=len(detections))).tolist()):
        counts = num_truths[start:end]
        shift = np.repeat(first_truth[start:end] - before[start:end] + before[start], counts)
        truth = shift + np.arange(len(shift))
        lefts, widths = (np.repeat(detections.boxes[start:end, k], counts) for k in (0, 2))
        reach = np.minimum(lefts + widths, left[truth] + width[truth])
        common = reach - np.maximum(lefts, left[truth])
        # Sufficient overlap implies sufficient shared width, which excludes most pairs.
        chosen = np.flatnonzero(common >= widths * (at_least - ROUNDING))
        detection = np.repeat(np.arange(start, end), counts)[chosen]
        truth = truth[chosen]
        overlap = _overlap(detections.boxes[detection], truths.boxes[truth], truths.ignore[truth])
        near = np.flatnonzero(overlap >= at_least)
        found.append((detection[near], truth[near], overlap[near]))
    columns = [np.concatenate(column) for column in zip(*found, strict=True)]
    return Pairs(detection=columns[0], truth=columns[1], overlap=columns[2])


def match(
    truths: TruthRows, detections: DetectionRows, pairs: Pairs, *, across_classes: bool
) -> Matching:
    """Match greedily by score.

    Args:
        truths: ground truth of the split.
        detections: best score first within each image
            (`DetectionRows.best_first`).
        pairs: from `overlapping_pairs` of the same rows.
        across_classes: a detection may match an object of another class too, unless it is within an
            ignored one of its own; of objects that it overlaps equally its own class is preferred.
    """
    same_class = detections.labels[pairs.detection] == truths.labels[pairs.truth]
    ignored = truths.ignore[pairs.truth]
    excused = np.zeros(len(detections), np.bool_)
    excused[pairs.detection[ignored & same_class]] = True
    usable = ~ignored & same_class
    if across_classes:
        usable |= ~ignored & ~excused[pairs.detection]
    candidates = pairs.select(usable)
    order = np.lexsort(
        (-candidates.truth, ~same_class[usable], -candidates.overlap, candidates.detection)
    )
    truth_of = np.full(len(detections), -1, np.int64)
    taken: set[int] = set()
    matched: dict[int, int] = {}
    # A plain loop: pairs that overlap by half are few (0.1 s for 5000 images), and each choice
    # depends on those before it.
    for detection, truth in zip(
        candidates.detection[order].tolist(), candidates.truth[order].tolist(), strict=True
    ):
        if detection not in matched and truth not in taken:
            matched[detection] = truth
            taken.add(truth)
    truth_of[list(matched)] = list(matched.values())
    return Matching(truth=truth_of, neutral=excused & (truth_of < 0))


def _overlap(found: Floats, truths: Floats, ignore: Booleans) -> Floats:
    """Overlap (P,) of xywh boxes (P, 4) in pycocotools' order of operations: edges agree."""
    ends = np.minimum(found[..., :2] + found[..., 2:], truths[..., :2] + truths[..., 2:])
    sides = (ends - np.maximum(found[..., :2], truths[..., :2])).clip(min=0)
    intersection = sides[..., 0] * sides[..., 1]
    found_area = found[..., 2] * found[..., 3]
    truth_area = truths[..., 2] * truths[..., 3]
    whole = np.where(ignore, found_area, found_area + truth_area - intersection)
    overlap: Floats = np.zeros_like(intersection)
    np.divide(intersection, whole, out=overlap, where=intersection > 0)
    return overlap
