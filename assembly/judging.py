"""What val.py does: weights and data put together and judged."""

from dataclasses import dataclass
from typing import Any

from assembly.detector import LoadedDetector, load_detector
from assembly.evaluation import judge_once
from configs.load import experiment_from_mapping, load_dataset
from configs.schema import Experiment
from configs.val_cli import ValCommand
from data.records import load_split
from models.weights import check_class_names
from utils.runtime.errors import UserError
from utils.runtime.threads import set_threads
from utils.structures.results import EvalResult


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """Numbers and detections of one evaluation, and what the weights say about their training."""

    result: EvalResult
    detections: list[dict[str, Any]]
    """In COCO's result format, category ids as in the data's own JSON."""
    epochs: int | None
    config_hash: str | None

    @property
    def images_per_second(self) -> float:
        """Images judged per second of loading and inference."""
        seconds = self.result.seconds["load"] + self.result.seconds["inference"]
        return self.result.counts["images"] / max(seconds, 1e-9)


def judge(command: ValCommand) -> Judgement:
    """Evaluate weights as the command says.

    Raises:
        UserError, ConfigError: weights or data cannot be used, or do not belong together.
    """
    loaded = load_detector(command.weights)
    experiment = _experiment(loaded, command)
    split = load_split(experiment.data, command.split)
    split.report.require_usable(experiment.data.max_rejected)
    check_class_names(loaded.class_names, split.class_names, source=str(command.weights))
    set_threads(experiment.train.threads, experiment.train.workers)
    result, evaluator = judge_once(loaded.detector, split, experiment)
    return Judgement(
        result=result,
        detections=evaluator.to_coco_results(split.category_ids),
        epochs=loaded.metadata.get("epoch"),
        config_hash=loaded.metadata.get("config_hash"),
    )


def _experiment(loaded: LoadedDetector, command: ValCommand) -> Experiment:
    """Return the settings of the training, changed as commanded; defaults for foreign files."""
    stored = dict(loaded.metadata.get("config", {}))
    if command.data is not None:
        stored["data"] = load_dataset(command.data).model_dump(mode="json")
    if "data" not in stored:
        raise UserError(
            f"{command.weights} does not say which data it was trained on; "
            "name a data set with --data, such as --data coco128"
        )
    stored.setdefault("train", {"image_size": loaded.image_size})
    return experiment_from_mapping(stored, command.overrides)
