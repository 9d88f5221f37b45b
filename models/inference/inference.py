"""From a batch to detections: the one path shared by validation during training and every tool."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

import torch
from torch import Tensor

from configs.schema.evaluation import EvalSettings
from models.detector import Detector
from models.inference.fusion import fuse
from models.inference.nms import Postprocess, Postprocessed, join
from utils.structures.batch import Batch, Targets
from utils.structures.predictions import Predictions, join_predictions
from utils.structures.score_calibrator import ScoreCalibrator
from utils.structures.scored_cells import ScoredCells

Observe = Callable[[Predictions, Targets], None]

PART_PIXELS = 1 << 20
"""Pixels that a CPU computes at once: with more, the output of a layer has left the caches before
the next one reads it. 16 images of 512 x 672 px took two fifths longer in one piece (yolov5n)."""


class RuntimeDetector(Protocol):
    """A network that another program than torch may run, such as one from an exported file."""

    @property
    def size_multiple(self) -> int:
        """What height and width of the images have to be multiples of."""
        ...

    @property
    def score_calibrator(self) -> ScoreCalibrator | None:
        """As of `Detector`."""
        ...

    def to(self, device: torch.device) -> "RuntimeDetector":
        """Return the detector for images on `device`."""
        ...

    def check_settings(self, settings: EvalSettings) -> None:
        """Raise ConfigError where suppression is fixed in the network and set otherwise."""
        ...

    def __call__(self, images: Tensor) -> ScoredCells | Postprocessed:
        """Return boxes and scores of images (B, 3, H, W), or what is left after suppression."""
        ...


class Inference:
    """A detector in evaluation mode with its postprocessing.

    Runs in float32 at any precision of the training, so that training, val.py and export
    evaluate the same function. Scores are those of the detector's score map where it has one;
    thresholds are compared with the scores before that.
    """

    def __init__(
        self,
        detector: Detector | RuntimeDetector,
        settings: EvalSettings,
        *,
        fused: bool,
        observe: Observe | None = None,
    ) -> None:
        """Prepare `detector`, which is not changed by fusing and stays in evaluation mode.

        `observe` receives the raw predictions of each batch given to `__call__`, where the network
        returns such, and its targets.
        """
        self._observe = observe
        self._calibrator = detector.score_calibrator
        self._detector: Detector | RuntimeDetector
        if isinstance(detector, Detector):
            self._detector = (fuse(detector) if fused else detector).eval()
        else:
            detector.check_settings(settings)
            self._detector = detector
        self._postprocess = Postprocess(
            score_threshold=settings.score_threshold,
            iou_threshold=settings.iou_threshold,
            max_detections=settings.max_detections,
            max_candidates=settings.max_candidates,
            multi_label=settings.multi_label,
            class_agnostic=settings.class_agnostic,
            box_voting=settings.box_voting,
        )

    @torch.no_grad()
    def __call__(self, batch: Batch) -> Postprocessed:
        """Return the detections of a batch on the detector's device, boxes in the network frame."""
        found: list[Postprocessed] = []
        seen: list[Predictions] = []
        for part in batch.split(self._num_parts(batch.images)):
            outputs = self.outputs(part)
            found.append(self.detections(outputs))
            if self._observe is not None and isinstance(outputs, Predictions):
                seen.append(outputs)
        if self._observe is not None and seen:
            self._observe(join_predictions(seen), batch.targets)
        return join(found)

    @torch.no_grad()
    def outputs(self, batch: Batch) -> ScoredCells | Postprocessed:
        """Return the raw predictions, the first half of `__call__`."""
        return self._detector(batch.pixels())

    def detections(self, outputs: ScoredCells | Postprocessed) -> Postprocessed:
        """Return the detections, the second half of `__call__`: suppression and score map."""
        if not isinstance(outputs, Postprocessed):
            outputs = self._postprocess(outputs)
        calibrator = self._calibrator
        if calibrator is None:
            return outputs
        detections = (replace(d, scores=calibrator.on_tensor(d.scores)) for d in outputs.detections)
        return replace(outputs, detections=tuple(detections))

    def _num_parts(self, images: Tensor) -> int:
        """Return in how many parts a batch is computed; runtimes other than torch get it whole."""
        if images.device.type != "cpu" or not isinstance(self._detector, Detector):
            return 1
        return max(1, math.ceil(images[:, 0].numel() / PART_PIXELS))
