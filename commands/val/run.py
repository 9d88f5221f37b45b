"""What val.py does: evaluate weights on a data set."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands.build.detector import LoadedDetector, load_detector, say_origin
from commands.build.evaluation import build_evaluator, evaluate_once
from commands.build.stored_settings import stored_settings, with_data_found
from commands.build.tta_tiling import ViewInference, evaluate_views
from commands.val.cli import ValCommand
from commands.view_options import ViewOptions
from configs.reading.load import experiment_from_mapping, load_dataset
from configs.schema import Experiment
from configs.schema.evaluation import EvalSettings
from data.loading.framing import Framing
from data.loading.loader import check_image_size
from data.records.load import Split, load_split
from models.inference.inference import Inference
from models.weights.checkpoint import check_class_names
from utils.metrics.evaluator import DetectionEvaluator
from utils.runtime.errors import UserError
from utils.runtime.machine.device import choose_device
from utils.runtime.machine.threads import set_threads
from utils.structures.results import EvalResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Metrics and detections of one evaluation, and the metadata of the weights."""

    result: EvalResult
    evaluator: DetectionEvaluator
    """With ground truth and detections."""
    split: Split
    settings: EvalSettings
    epochs: int | None
    config_hash: str | None
    data_name: str = ""
    """Folder of the data set."""

    @property
    def detections(self) -> list[dict[str, Any]]:
        """In COCO's result format, category ids as in the data's own JSON."""
        return self.evaluator.to_coco_results(self.split.category_ids)

    @property
    def facts(self) -> dict[str, str]:
        """Facts on data and settings for the report."""
        counts, settings = self.result.counts, self.settings
        return {
            "data": f"{self.data_name} {self.split.name}, {counts['images']} images, "
            f"{counts['truths']} objects",
            "detections": f"{counts['detections']} from score {settings.score_threshold:g}",
            "NMS": f"IoU {settings.iou_threshold:g}",
            "judge": settings.judge,
        }

    @property
    def images_per_second(self) -> float:
        """Images evaluated per second of loading and inference."""
        seconds = self.result.seconds["load"] + self.result.seconds["inference"]
        return self.result.counts["images"] / max(seconds, 1e-9)


def evaluate_weights(command: ValCommand) -> Evaluation:
    """Evaluate weights.

    Raises:
        UserError, ConfigError: weights or data cannot be used, or do not belong together.
    """
    loaded, experiment, split = load_for_evaluation(command)
    if command.views.is_needed:
        result, evaluator = _judge_views(loaded, experiment, split, command.views)
    else:
        result, evaluator = evaluate_once(loaded.detector, split, experiment)
    return Evaluation(
        result=result,
        evaluator=evaluator,
        split=split,
        settings=experiment.eval,
        epochs=loaded.metadata.get("epoch"),
        config_hash=loaded.metadata.get("config_hash"),
        data_name=Path(experiment.data.path).name,
    )


def load_for_evaluation(command: ValCommand) -> tuple[LoadedDetector, Experiment, Split]:
    """Return weights, settings and data of the command; sets the number of threads.

    Raises:
        UserError, ConfigError: weights or data cannot be used, or do not belong together.
    """
    loaded = load_detector(command.weights, trusted=command.trust)
    say_origin(loaded.metadata)
    experiment = _experiment(loaded, command)
    split = _load_split(experiment, command)
    split.report.require_usable(experiment.data.max_rejected)
    check_class_names(loaded.class_names, split.class_names, source=str(command.weights))
    set_threads(experiment.train.threads)
    return loaded, experiment, split


def _judge_views(
    loaded: LoadedDetector, experiment: Experiment, split: Split, views: ViewOptions
) -> tuple[EvalResult, DetectionEvaluator]:
    evaluator = build_evaluator(split, experiment.eval)
    device = choose_device(experiment.train.device)
    detector, settings = loaded.detector.to(device), experiment.eval
    check_image_size(experiment.train.image_size, detector.size_multiple)
    infer = ViewInference(
        Inference(detector, settings, fused=experiment.model.fuse),
        views,
        framing=Framing(
            image_size=experiment.train.image_size,
            stride=detector.size_multiple,
            rectangular=settings.rectangular,
        ),
        settings=settings,
        device=device,
    )
    return evaluate_views(infer, split.records, evaluator, description=split.name), evaluator


def _load_split(experiment: Experiment, command: ValCommand) -> Split:
    # Data named in weights may be read; only data named by the user are generated.
    is_named = command.data is not None
    try:
        return load_split(experiment.data, command.split, may_generate=is_named)
    except UserError as error:
        if is_named:
            raise
        raise UserError(
            f"{error} (so {command.weights} names the data it was trained on; "
            "name others with --data)"
        ) from error


def _experiment(loaded: LoadedDetector, command: ValCommand) -> Experiment:
    """Return the settings of the training with overrides; defaults for foreign files."""
    stored = stored_settings(loaded.metadata)
    if command.data is not None:
        stored["data"] = load_dataset(command.data).model_dump(mode="json")
    if "data" not in stored:
        raise UserError(
            f"{command.weights} does not say which data it was trained on; "
            "name a data set with --data, such as --data coco128"
        )
    if command.data is None:
        stored = with_data_found(stored, command.weights)
    stored.setdefault("train", {"image_size": loaded.image_size})
    return experiment_from_mapping(stored, command.overrides)
