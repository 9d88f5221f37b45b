"""The evaluation of one split, the same object in training and in val.py."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from commands.build.validation_loss import ValidationLoss
from configs.schema import Experiment
from configs.schema.evaluation import EvalSettings
from data.images.cache import ImageCache
from data.images.io import read_image
from data.loading.loader import build_eval_batches
from data.records.load import Split
from models.detector import Detector
from models.inference.inference import Inference, RuntimeDetector
from models.losses import DetectionCriterion
from utils.engine.evaluation import evaluate
from utils.metrics.evaluator import DetectionEvaluator
from utils.metrics.scored import ScoredDetections, scored_detections
from utils.report.drawing import Picture, draw_boxes, shrink_to, side_by_side
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.machine.device import choose_device
from utils.runtime.machine.threads import loader_workers
from utils.structures.images import Record
from utils.structures.results import Detections, EvalResult


class SplitEvaluation:
    """Evaluates detectors on one split; `evaluator` keeps the detections of the last one."""

    def __init__(
        self,
        split: Split,
        experiment: Experiment,
        *,
        stride: int,
        device: torch.device,
        cache: ImageCache | None = None,
        ranks: Ranks = ALONE,
        criterion: DetectionCriterion | None = None,
    ) -> None:
        """Create loader and evaluator.

        Args:
            split: images and ground truth.
            experiment: sections eval, train and model are read.
            stride: largest stride of the network, pixels.
            device: where the detector runs.
            cache: where decoded images are kept between evaluations.
            ranks: this process among those that share the images.
            criterion: the loss of the training, computed on these images, too, unless `eval.loss`
                is off; None for weights alone.
        """
        self.split = split
        self.evaluator = build_evaluator(split, experiment.eval)
        self._settings = experiment.eval
        self._device = device
        self._fused = experiment.model.fuse
        self._ranks = ranks
        self._loss = (
            None
            if criterion is None or not experiment.eval.loss
            else ValidationLoss(criterion, ranks)
        )
        self._batches = build_eval_batches(
            split.records,
            image_size=experiment.train.image_size,
            stride=stride,
            settings=experiment.eval,
            workers=loader_workers(
                experiment.train.workers, device.type, processes=ranks.local_size
            ),
            pin_memory=device.type == "cuda",
            cache=cache,
            ranks=ranks,
        )

    def __call__(self, detector: nn.Module | RuntimeDetector) -> EvalResult:
        """Evaluate a `Detector`, on the device, or an exported one on the split."""
        if isinstance(detector, nn.Module) and not isinstance(detector, Detector):
            raise TypeError(f"expected a Detector, got {type(detector).__name__}")
        loss = self._loss
        if loss is not None:
            loss.reset()
        observe = None if loss is None else loss.add
        result = evaluate(
            Inference(detector, self._settings, fused=self._fused, observe=observe),
            self._batches,
            self.evaluator,
            device=self._device,
            progress=self._ranks.is_main,
            description=self.split.name,
            ranks=self._ranks,
        )
        return result if loss is None else replace(result, losses=loss.means())

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by class index."""
        return self.split.class_names

    def pictures(self, most: int) -> Iterator[tuple[str, Picture]]:
        """Yield name and picture of up to `most` images of the last evaluation, at even distances:
        ground truth on the left, detections on the right.
        """
        records = self.split.records
        for record in records[:: max(1, len(records) // max(most, 1))][:most]:
            found = self.evaluator.detections_of(record.image_id)
            names, threshold = self.split.class_names, self._settings.report_threshold
            yield Path(record.path).name, truth_and_found(record, found, names, threshold)

    def scored(self) -> ScoredDetections:
        """Return the detections of the last evaluation, right or wrong at IoU 0.5."""
        return scored_detections(self.evaluator.truths, self.evaluator.detections)

    def start(self) -> None:
        """Start the loader's workers now instead of at the first call."""
        self._batches.start()

    def close(self) -> None:
        """End the loader's workers."""
        self._batches.close()


def build_evaluator(split: Split, settings: EvalSettings) -> DetectionEvaluator:
    """Return the evaluator of detections on a split."""
    return DetectionEvaluator(
        truths=split.records,
        class_names=split.class_names,
        judge=settings.judge,
        report_threshold=settings.report_threshold,
    )


def build_evaluation(
    detector: Detector | RuntimeDetector,
    split: Split,
    experiment: Experiment,
    *,
    device: torch.device,
    cache: ImageCache | None = None,
    ranks: Ranks = ALONE,
    criterion: DetectionCriterion | None = None,
) -> SplitEvaluation:
    """Return the evaluation of an experiment's detectors on a split, shared by `ranks`; `cache`
    only saves time, `criterion` is the loss where it is wanted, too.
    """
    return SplitEvaluation(
        split,
        experiment,
        stride=detector.size_multiple,
        device=device,
        cache=cache,
        ranks=ranks,
        criterion=criterion,
    )


def evaluate_once(
    detector: Detector | RuntimeDetector,
    split: Split,
    experiment: Experiment,
    *,
    cache: ImageCache | None = None,
) -> tuple[EvalResult, DetectionEvaluator]:
    """Evaluate a detector on a split with the settings of an experiment, on its device.

    `cache` only saves time.

    Returns:
        The metrics, and the evaluator with ground truth and detections.

    Raises:
        UserError: an image cannot be read, or the device is not there.
    """
    device = choose_device(experiment.train.device)
    evaluation = build_evaluation(detector, split, experiment, device=device, cache=cache)
    try:
        return evaluation(detector.to(device)), evaluation.evaluator
    finally:
        evaluation.close()


PICTURE_SIDE = 640


def truth_and_found(
    record: Record, found: Detections, names: tuple[str, ...], threshold: float
) -> Picture:
    """Return ground truth on the left, detections of at least `threshold` on the right.

    Raises:
        ImageError: the image cannot be read any more.
    """
    shown = found.scores >= threshold
    image, scale = shrink_to(read_image(record.path, record.depth), PICTURE_SIDE)
    truth = draw_boxes(image, record.boxes * scale, record.labels, names)
    detected = draw_boxes(
        image,
        found.boxes[shown].numpy().astype(np.float32) * scale,
        found.labels[shown].numpy(),
        names,
        found.scores[shown].numpy().astype(np.float32),
    )
    return side_by_side([truth, detected])
