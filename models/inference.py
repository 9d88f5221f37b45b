"""From a batch to detections: the one path that training-time validation and every tool share."""

from dataclasses import replace

import torch

from configs.schema.evaluation import EvalSettings
from models.detector import Detector
from models.fusion import fuse
from models.postprocess import Postprocess, Postprocessed
from utils.structures.batch import Batch


class Inference:
    """A detector in evaluation mode with its postprocessing.

    Runs in float32 whatever precision the training used, so that training, val.py and export judge
    the same function. Scores are those of the detector's score map where it has one; thresholds are
    compared with the scores before that.
    """

    def __init__(self, detector: Detector, settings: EvalSettings, *, fused: bool) -> None:
        """Prepare `detector`, which is not changed by fusing and stays in evaluation mode."""
        self._score_map = detector.score_map
        self._detector = (fuse(detector) if fused else detector).eval()
        self._postprocess = Postprocess(
            score_threshold=settings.score_threshold,
            iou_threshold=settings.iou_threshold,
            max_detections=settings.max_detections,
            max_candidates=settings.max_candidates,
            multi_label=settings.multi_label,
            class_agnostic=settings.class_agnostic,
        )

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Postprocessed:
        """Return what is found in a batch on the detector's device, boxes in the network frame."""
        return self._calibrated(self._postprocess(self._detector(batch.pixels())))

    def _calibrated(self, found: Postprocessed) -> Postprocessed:
        score_map = self._score_map
        if score_map is None:
            return found
        detections = (replace(d, scores=score_map(d.scores)) for d in found.detections)
        return replace(found, detections=tuple(detections))
