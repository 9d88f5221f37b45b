"""The images with most errors: missed objects, false positives, badly localised boxes.

At one score threshold and IoU 0.5, class by class. A false positive that overlaps an undetected
object of its class by 0.1 or more is badly localised; any other one is false.
"""

from dataclasses import dataclass

import numpy as np

from utils.metrics.matching import Matching, match, overlapping_pairs
from utils.metrics.rows import Booleans, DetectionRows, Integers, TruthRows

LEAST_OVERLAP = 0.1
KINDS = ("missed", "false", "misplaced")


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageErrors:
    """(N,) counts of each image, in the order of `image_index`."""

    missed: Integers
    false: Integers
    misplaced: Integers

    def worst(self, kind: str, count: int) -> list[tuple[int, int]]:
        """Return (position of the image, errors) of up to `count` images with most errors.

        Of equals the first; images without such an error are left out.
        """
        errors: Integers = getattr(self, kind)
        order = np.argsort(-errors, kind="stable")[:count]
        return [(int(image), int(errors[image])) for image in order if errors[image]]


def image_errors(truths: TruthRows, detections: DetectionRows, *, threshold: float) -> ImageErrors:
    """Count the errors of every image among detections with a score of at least `threshold`."""
    ranked = detections.best_first()
    ranked = ranked.select(np.flatnonzero(ranked.scores >= threshold))
    matching = match(truths, ranked, overlapping_pairs(truths, ranked), across_classes=False)
    wrong = (matching.truth < 0) & ~matching.neutral
    near = _near_an_object(truths, ranked, matching)
    missed = ~truths.ignore
    missed[matching.truth[matching.truth >= 0]] = False

    def per_image(images: Integers) -> Integers:
        return np.bincount(images, minlength=truths.num_images)

    return ImageErrors(
        missed=per_image(truths.image_index[missed]),
        false=per_image(ranked.image_index[wrong & ~near]),
        misplaced=per_image(ranked.image_index[wrong & near]),
    )


def _near_an_object(truths: TruthRows, ranked: DetectionRows, matching: Matching) -> Booleans:
    """Return (K,) bool: whether a detection overlaps an undetected object of its class."""
    found = np.zeros(len(truths.labels), np.bool_)
    found[matching.truth[matching.truth >= 0]] = True
    pairs = overlapping_pairs(truths, ranked, at_least=LEAST_OVERLAP)
    same = ranked.labels[pairs.detection] == truths.labels[pairs.truth]
    open_truth = ~truths.ignore[pairs.truth] & ~found[pairs.truth]
    near = np.zeros(len(ranked), np.bool_)
    near[pairs.detection[same & open_truth]] = True
    return near
