"""Analysis of an evaluation beyond AP: curves, error types, calibration."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from utils.metrics.calibration import Calibration, ReliabilityBin, calibration, reliability
from utils.metrics.coco_ap import JUDGES
from utils.metrics.error_types import ErrorTypes, error_types
from utils.metrics.rows import DetectionRows, Floats, TruthRows
from utils.metrics.score_curves import ClassThreshold, ScoreCurve, class_thresholds, score_curve
from utils.metrics.scored import scored_detections
from utils.metrics.worst_images import KINDS, ImageErrors, image_errors

logger = logging.getLogger(__name__)

SCORE_FLOOR = 0.05
"""Detections below it are left out of calibration, which thousands of them would dominate."""
HISTOGRAM_BINS = 20
WORST = 20
"""Images listed for each kind of error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What a report shows; C classes, IoU 0.5 throughout.

    precision50 (101, C) precision where recall reaches 0, 0.01 ... 1, -1 for classes without
    objects; curves (C,) over score thresholds, and `pooled` over all classes; right, wrong (20,)
    detections by score in equal bins of [0, 1].
    """

    threshold: float
    """Score of errors by image."""
    shared_threshold: float
    """Score threshold of the best F1 over all classes pooled."""
    precision50: Floats
    pooled: ScoreCurve
    curves: Sequence[ScoreCurve]
    thresholds: Sequence[ClassThreshold]
    right: Sequence[int]
    wrong: Sequence[int]
    calibration: Calibration
    reliability: Sequence[ReliabilityBin]
    error_types: ErrorTypes | None
    """None where hotcoco cannot tell."""
    image_errors: ImageErrors

    def to_json(self, class_names: Sequence[str], paths: Sequence[str]) -> dict[str, Any]:
        """Return plain dictionaries, lists and numbers; `paths` of the images by position."""
        return {
            "report_threshold": self.threshold,
            "shared_threshold": self.shared_threshold,
            "thresholds": {
                name: asdict(one) for name, one in zip(class_names, self.thresholds, strict=True)
            },
            "precision_at_recall": {
                name: _listed(self.precision50[:, label])
                for label, name in enumerate(class_names)
                if self.thresholds[label].num_truths
            },
            "by_score_threshold": {
                name: {key: _listed(getattr(curve, key)) for key in ("precision", "recall", "f1")}
                for name, curve in zip(class_names, self.curves, strict=True)
            },
            "scores": {"right": list(self.right), "wrong": list(self.wrong)},
            "calibration": asdict(self.calibration),
            "reliability": [asdict(one) for one in self.reliability],
            "errors": self.error_types
            and {
                "delta_ap50": dict(self.error_types.delta_ap),
                "counts": dict(self.error_types.counts),
            },
            "worst_images": {
                kind: [[paths[i], count] for i, count in self.image_errors.worst(kind, WORST)]
                for kind in KINDS
            },
        }


def analyse(
    truths: TruthRows,
    detections: DetectionRows,
    *,
    judge: Literal["hotcoco", "pycocotools"],
    threshold: float,
    shared_threshold: float,
) -> Analysis:
    """Return the analysis of all detections of a split.

    Args:
        truths: ground truth of the split.
        detections: all detections.
        judge: library that computes precision at recall.
        threshold: score, 0 to 1, of the errors by image.
        shared_threshold: score to compare each class's own with.
    """
    found = scored_detections(truths, detections)
    edges = np.linspace(0.0, 1.0, HISTOGRAM_BINS + 1)
    right, wrong = (
        np.histogram(found.scores[found.right == is_right], bins=edges)[0].tolist()
        for is_right in (True, False)
    )
    return Analysis(
        threshold=threshold,
        shared_threshold=shared_threshold,
        precision50=JUDGES[judge](truths, detections).precision50,
        pooled=score_curve(found),
        curves=[score_curve(found, label) for label in range(truths.num_classes)],
        thresholds=class_thresholds(found, shared=shared_threshold),
        right=right,
        wrong=wrong,
        calibration=calibration(found, found.scores, floor=SCORE_FLOOR),
        reliability=reliability(found, found.scores, floor=SCORE_FLOOR),
        error_types=_error_types(truths, detections),
        image_errors=image_errors(truths, detections, threshold=threshold),
    )


def _error_types(truths: TruthRows, detections: DetectionRows) -> ErrorTypes | None:
    try:
        return error_types(truths, detections)
    except (ValueError, RuntimeError, TypeError, KeyError) as error:
        logger.warning("kinds of errors are left out: hotcoco failed (%s)", error)
        return None


def _listed(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else round(float(value), 6) for value in values]
