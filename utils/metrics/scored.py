"""Every detection of a run with its score and whether it is right at IoU 0.5: for calibration."""

from dataclasses import dataclass

import numpy as np

from utils.metrics.matching import match, overlapping_pairs
from utils.metrics.rows import Booleans, DetectionRows, Floats, Integers, TruthRows


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredDetections:
    """Detections that count, best score first; K of them on N images, C classes.

    scores (K,); labels (K,); image (K,); right (K,) whether each is a true positive at IoU 0.5;
    overlap (K,) its IoU with its object, 0 where wrong; truths (C,) objects of each class.
    """

    scores: Floats
    labels: Integers
    image: Integers
    right: Booleans
    overlap: Floats
    truths: Integers
    num_images: int

    def select(self, mask: Booleans) -> "ScoredDetections":
        """Return the detections where `mask` (K,) is true; the objects stay."""
        return ScoredDetections(
            scores=self.scores[mask],
            labels=self.labels[mask],
            image=self.image[mask],
            right=self.right[mask],
            overlap=self.overlap[mask],
            truths=self.truths,
            num_images=self.num_images,
        )


def scored_detections(truths: TruthRows, detections: DetectionRows) -> ScoredDetections:
    """Match at IoU 0.5 as COCO does; detections within ignored objects are left out."""
    ranked = detections.best_first()
    pairs = overlapping_pairs(truths, ranked)
    matching = match(truths, ranked, pairs, across_classes=False)
    overlap = np.zeros(len(ranked))
    chosen = matching.truth[pairs.detection] == pairs.truth
    overlap[pairs.detection[chosen]] = pairs.overlap[chosen]
    kept = np.flatnonzero(~matching.neutral)
    order = kept[np.argsort(-ranked.scores[kept], kind="stable")]
    counted = truths.labels[~truths.ignore]
    return ScoredDetections(
        scores=ranked.scores[order],
        labels=ranked.labels[order],
        image=ranked.image_index[order],
        right=matching.truth[order] >= 0,
        overlap=overlap[order],
        truths=np.bincount(counted, minlength=truths.num_classes),
        num_images=truths.num_images,
    )
