"""Prediction on pictures, shared by predict.py and the Python API."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from commands.build.detector import LoadedDetector, load_detector
from commands.build.stored_settings import stored_settings
from commands.build.tta_tiling import ViewInference
from commands.view_options import AS_IT_IS, ViewOptions
from configs.errors import ConfigError
from configs.reading.load import experiment_from_mapping
from configs.schema import Experiment
from configs.schema.keys import nearest_key
from data.loading.framing import Framing
from data.loading.loader import check_image_size
from data.sources.frame import Frame
from models.inference.inference import Inference
from utils.engine.evaluation import in_original_frame
from utils.runtime.machine.device import choose_device
from utils.structures.batch import Batch
from utils.structures.results import Detections

PREDICTION_DEFAULTS: Mapping[str, Any] = {
    "score_threshold": 0.25,
    "iou_threshold": 0.45,
    "multi_label": False,
}
"""Defaults of section `eval` for prediction; validation needs low thresholds for the whole
curve."""

PREDICTION_KEYS = (
    "eval.score_threshold",
    "eval.iou_threshold",
    "eval.max_detections",
    "eval.max_candidates",
    "eval.multi_label",
    "eval.class_agnostic",
    "eval.box_voting",
    "eval.batch_size",
    "eval.rectangular",
    "train.image_size",
    "train.device",
    "train.threads",
    "train.workers",
    "model.fuse",
    "data.depth",
)
"""The settings that have an effect on prediction."""


class Predictor:
    """Detects objects in batches of pictures, by the path of validation."""

    def __init__(
        self, loaded: LoadedDetector, experiment: Experiment, views: ViewOptions = AS_IT_IS
    ) -> None:
        """Prepare.

        Args:
            loaded: detector and class names.
            experiment: as `prediction_settings` returns it.
            views: the tiles and scales of `look`.

        Raises:
            UserError: there is no such device, or the image size does not suit the network.
        """
        stride = loaded.detector.size_multiple
        check_image_size(experiment.train.image_size, stride)
        self.class_names = loaded.class_names
        self.category_ids = category_ids(loaded)
        self.device = choose_device(experiment.train.device)
        settings = experiment.eval
        self.batch_size = settings.batch_size
        self.framing = Framing(
            image_size=experiment.train.image_size,
            stride=stride,
            rectangular=settings.rectangular,
        )
        self._infer = Inference(
            loaded.detector.to(self.device), settings, fused=experiment.model.fuse
        )
        self.depth = experiment.data.depth_bits
        """Bits that values of 16-bit pictures fill; None for those that each uses."""
        self._views = None
        if views.is_needed:
            self._views = ViewInference(
                self._infer, views, framing=self.framing, settings=settings, device=self.device
            )

    @classmethod
    def from_file(
        cls, weights: Path, overrides: Sequence[str] = (), *, trusted: bool = False
    ) -> "Predictor":
        """Return the predictor of a weights file with the defaults of prediction.

        Raises:
            UserError, ConfigError: file or settings cannot be used.
        """
        loaded = load_detector(weights, trusted=trusted)
        return cls(loaded, prediction_settings(loaded, overrides))

    def __call__(self, batch: Batch) -> list[Detections]:
        """Return the detections of each picture, on the CPU, boxes in the picture's pixels."""
        with torch.no_grad():
            output = self._infer(batch.to(self.device))
        return in_original_frame(output.detections, batch.metas)

    def look(self, frames: Sequence[Frame], batch: Batch) -> list[Detections]:
        """Return the detections of each picture over all its views.

        Args:
            frames: the pictures.
            batch: made of them, as for `__call__`.

        Raises:
            ImageError: a file cannot be read any more.
        """
        if self._views is None:
            return self(batch)
        return [self._views(frame.image()).detections[0] for frame in frames]


def prediction_settings(
    loaded: LoadedDetector, overrides: Sequence[str] = (), *, like_val: bool = False
) -> Experiment:
    """Return the settings of the training, with the defaults of prediction and overrides.

    Args:
        loaded: metadata and image size are read.
        overrides: `section.key=value` settings.
        like_val: keep section `eval` as the training had it, so that results are those of val.py.

    Raises:
        ConfigError: a setting is unknown or without effect, or the file's own do not fit.
    """
    _require_effect(overrides)
    stored = stored_settings(loaded.metadata)
    # Prediction reads no data set, but settings are not complete without one.
    own = stored.get("data")
    depth = own.get("depth", "auto") if isinstance(own, dict) else "auto"
    stored["data"] = {"format": "synthetic", "depth": depth}
    # The device of the training may not exist on this machine.
    stored["train"] = {"image_size": loaded.image_size, **stored.get("train", {}), "device": "auto"}
    if not like_val:
        stored["eval"] = {**stored.get("eval", {}), **PREDICTION_DEFAULTS, **loaded.fixed_eval}
    experiment = experiment_from_mapping(stored, overrides)
    calibrator = loaded.detector.score_calibrator
    if like_val or calibrator is None or loaded.fixed_eval:
        return experiment
    # People choose a threshold for the scores they see, which are the calibrated ones.
    threshold = calibrator.inverse(experiment.eval.score_threshold)
    settings = experiment.eval.model_copy(update={"score_threshold": threshold})
    return experiment.model_copy(update={"eval": settings})


def _require_effect(overrides: Sequence[str]) -> None:
    for override in overrides:
        key = override.partition("=")[0]
        if key in PREDICTION_KEYS or nearest_key(key) is None:
            continue
        if nearest_key(key) in PREDICTION_KEYS:
            continue  # a slip of the pen, which the schema's own message names
        raise ConfigError(
            f"{key}: has no effect on prediction; it reads {', '.join(PREDICTION_KEYS)}"
        )


def category_ids(loaded: LoadedDetector) -> tuple[int, ...]:
    """Return the ids of the training's COCO file; class indices where it had none."""
    stored = loaded.metadata.get("category_ids")
    return tuple(stored) if stored else tuple(range(len(loaded.class_names)))
