"""The evaluation of one split, the same object in training and in val.py."""

import torch
from torch import nn

from configs.schema import Experiment
from configs.schema.evaluation import EvalSettings
from data.image_cache import ImageCache
from data.loader import build_eval_batches
from data.records import Split
from models.detector import Detector
from models.inference import Inference
from utils.engine.evaluation import evaluate
from utils.metrics.evaluator import DetectionEvaluator
from utils.runtime.device import choose_device
from utils.structures.results import EvalResult


class SplitEvaluation:
    """Judges detectors on one split; `evaluator` keeps the detections of the last one judged."""

    def __init__(
        self,
        split: Split,
        settings: EvalSettings,
        *,
        image_size: int,
        stride: int,
        workers: int,
        device: torch.device,
        fused: bool,
        cache: ImageCache | None = None,
    ) -> None:
        """Prepare loader and judge.

        Args:
            split: images and truths.
            settings: section `eval`.
            image_size: long side of the network input, pixels.
            stride: largest stride of the network, pixels.
            workers: processes that load images.
            device: where the detector runs.
            fused: fold batch normalisation into convolutions first.
            cache: where decoded images are kept between evaluations.
        """
        self.split = split
        self.evaluator = build_evaluator(split, settings)
        self._settings = settings
        self._device = device
        self._fused = fused
        self._batches = build_eval_batches(
            split.records,
            image_size=image_size,
            stride=stride,
            settings=settings,
            workers=workers,
            cache=cache,
        )

    def __call__(self, detector: nn.Module) -> EvalResult:
        """Return how good a `Detector`, on the device, is on the split."""
        if not isinstance(detector, Detector):
            raise TypeError(f"expected a Detector, got {type(detector).__name__}")
        return evaluate(
            Inference(detector, self._settings, fused=self._fused),
            self._batches,
            self.evaluator,
            device=self._device,
            progress=True,
            description=self.split.name,
        )

    def close(self) -> None:
        """End the loader's workers."""
        self._batches.close()


def build_evaluator(split: Split, settings: EvalSettings) -> DetectionEvaluator:
    """Return the judge of detections on a split."""
    return DetectionEvaluator(
        truths=split.records,
        class_names=split.class_names,
        judge=settings.judge,
        report_threshold=settings.report_threshold,
    )


def build_evaluation(
    detector: Detector,
    split: Split,
    experiment: Experiment,
    *,
    device: torch.device,
    cache: ImageCache | None = None,
) -> SplitEvaluation:
    """Return the evaluation of an experiment's detectors on a split; `cache` only saves time."""
    return SplitEvaluation(
        split,
        experiment.eval,
        image_size=experiment.train.image_size,
        stride=detector.size_multiple,
        workers=experiment.train.workers,
        device=device,
        fused=experiment.model.fuse,
        cache=cache,
    )


def judge_once(
    detector: Detector, split: Split, experiment: Experiment
) -> tuple[EvalResult, DetectionEvaluator]:
    """Judge a detector on a split with the settings of an experiment, on its device.

    Returns:
        The numbers, and the evaluator with truths and detections.

    Raises:
        UserError: an image cannot be read, or the device is not there.
    """
    device = choose_device(experiment.train.device)
    evaluation = build_evaluation(detector, split, experiment, device=device)
    try:
        return evaluation(detector.to(device)), evaluation.evaluator
    finally:
        evaluation.close()
