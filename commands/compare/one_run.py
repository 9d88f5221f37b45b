"""One run of a comparison: trained, then evaluated on validation and test split, in one process."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from commands.build.detector import LoadedDetector
from commands.build.evaluation import evaluate_once
from commands.build.stored_settings import with_data_found
from commands.build.weights_size import with_size_of_weights
from commands.train.run import train
from configs.checks.resume_changes import changes_between, require_changeable
from configs.reading.load import experiment_from_mapping, load_experiment
from configs.reading.yaml_reader import read_yaml
from configs.schema import Experiment
from data.anchors import label_statistics
from data.images.cache import ImageCache
from data.loading.loader import open_training_cache
from data.records.load import Split, SplitName, load_split
from models.weights.checkpoint import detector_from_checkpoint
from utils.checkpoint.state import load_state
from utils.checkpoint.weights import load_weights
from utils.comparison.runs.run_record import FACTS
from utils.comparison.runs.stored_evaluation import FOLDER, JudgedSplit, write_judged
from utils.runtime.files.atomic import write_json
from utils.runtime.files.run_folder import open_run_folder
from utils.runtime.machine.threads import set_threads
from utils.runtime.seeding import set_deterministic

SPLITS: tuple[SplitName, ...] = ("val", "test")


def evaluate_run(path: Path) -> None:
    """Write the detections of a finished run on both splits into its folder; the test split last.

    The weights are the average of the last epoch: choosing the best epoch would be a search that
    benefits noisy arms.

    Raises:
        UserError, ConfigError: the folder contains no finished run, or its data are gone.
    """
    loaded, folder = load_last(path), open_run_folder(path)
    experiment = experiment_from_mapping(with_data_found(loaded.metadata["config"], folder.best))
    set_threads(read_yaml(folder.config).values["train"]["threads"])
    set_deterministic(experiment.train.deterministic)
    (path / FOLDER).mkdir(exist_ok=True)
    names: tuple[SplitName, ...] = ("train", *SPLITS)
    splits = {name: load_split(experiment.data, name) for name in names}
    write_json(path / FOLDER / FACTS, _facts(splits))
    # The runs of a comparison share what is decoded once.
    cache = open_training_cache(
        experiment.train,
        splits["train"].records,
        [record for name in SPLITS for record in splits[name].records],
        stride=loaded.detector.size_multiple,
    )
    for name in SPLITS:
        write_judged(path, name, _judged(loaded, experiment, splits[name], cache))


def load_last(path: Path) -> LoadedDetector:
    """Return the detector with the averaged weights of a run's last epoch."""
    folder = open_run_folder(path)
    _, metadata = load_weights(folder.best)
    tensors = load_state(folder.last)["learner"]["average"]["model"]
    return LoadedDetector(
        detector=detector_from_checkpoint(tensors, metadata, source=str(folder.last)),
        class_names=tuple(metadata["class_names"]),
        image_size=int(metadata["image_size"]),
        metadata=metadata,
    )


def _facts(splits: Mapping[SplitName, Split]) -> dict[str, Any]:
    """Return the facts on the training data for the report."""
    train = splits["train"]
    statistics = label_statistics(train.records, len(train.class_names))
    return {
        "train_images": len(train.records),
        "train_objects": [int(count) for count in statistics.class_counts],
        "fingerprints": {name: split.fingerprint[:12] for name, split in splits.items()},
    }


def _judged(
    loaded: LoadedDetector, experiment: Experiment, split: Split, cache: ImageCache | None
) -> JudgedSplit:
    result, evaluator = evaluate_once(loaded.detector, split, experiment, cache=cache)
    return JudgedSplit(
        truths=evaluator.truths,
        detections=evaluator.detections,
        paths=tuple(record.path for record in split.records),
        class_names=split.class_names,
        result=result.to_json(),
    )


logger = logging.getLogger(__name__)


def train_and_judge(cfg: Path, overrides: Sequence[str]) -> None:
    """Train an experiment and evaluate its last epoch.

    Raises:
        UserError, ConfigError: something the user can fix; a run that ended stays.
        TrainingStopped: asked to stop; the state is saved.
    """
    loaded = with_size_of_weights(load_experiment(cfg, overrides))
    for note in loaded.notes:
        logger.info("%s", note)
    evaluate_run(train(loaded).path)


def resume_and_judge(path: Path, overrides: Sequence[str]) -> None:
    """Resume the training of a run folder and evaluate its last epoch; raises as above."""
    folder = open_run_folder(path)
    before, after = load_experiment(folder.config), load_experiment(folder.config, overrides)
    changes = changes_between(before.experiment, after.experiment)
    require_changeable(changes)
    evaluate_run(train(after, resume=folder, changes=changes).path)
