"""The detector a training run starts with: graph, anchors, priors, pretrained weights."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from commands.build.box_bins import report_bins, with_number_of_bins
from commands.build.detector import import_checkpoint, import_file
from commands.build.plugins import import_network_parts
from commands.build.priors import head_priors
from commands.build.stored_settings import shareable_settings
from commands.weights_by_name import find_weights_file
from configs.errors import ConfigError
from configs.reading.load import LoadedExperiment
from configs.schema.train import TrainSettings
from data.anchors import describe_anchors, fit_anchors
from data.loading.loader import build_train_batches
from data.records.load import Split
from models.detector import Detector, build_detector, init_weights
from models.layer_patterns import frozen_names, learning_factors
from models.weights.checkpoint import checkpoint_metadata
from models.weights.importers import ImportedWeights
from models.weights.transfer import TransferReport, transfer
from models.weights.unfold import unfold_norms
from utils.checkpoint.torch_file import FOREIGN_SUFFIXES, read_torch_file
from utils.checkpoint.weights import load_weights
from utils.engine.optimization.layer_rules import LayerRules
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_text
from utils.runtime.machine.environment import describe_program
from utils.runtime.printable import csv_cell


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingStart:
    """What a training run starts with."""

    loaded: LoadedExperiment
    """The experiment, with the anchors the detector really has."""
    detector: Detector
    rules: LayerRules
    """Frozen layers and learning rates by layer."""
    transfer: TransferReport | None
    """How `model.weights` were used; None without, and in a resumed run."""

    @property
    def shares_classes(self) -> bool:
        """Tell whether the weights know a class of the data, so that the start can find some."""
        if self.transfer is None:
            return False
        head = f"model.{len(self.detector.model) - 1}"
        rows = {f"{head}.{name}" for name in self.detector.head.class_rows()}
        return bool(self.transfer.classes) or rows <= set(self.transfer.taken)


def build_training_detector(
    loaded: LoadedExperiment, split: Split, *, resumed: bool = False
) -> TrainingStart:
    """Return the detector of an experiment and its settings.

    Weights are initialised by torch's default generator, which has to be seeded before. A resumed
    run gets its values from its checkpoint: `model.weights` is not read again.

    Raises:
        ConfigError, UserError: graph, anchors, weights or names of layers cannot be used.
    """
    loaded.require_derived()
    import_network_parts(loaded)
    loaded = with_number_of_bins(loaded)
    settings, train = loaded.experiment.model, loaded.experiment.train
    stated = settings.anchors if isinstance(settings.anchors, tuple) else None
    detector = build_detector(
        trained_graph(loaded),
        num_classes=len(split.class_names),
        anchors=stated,
        source=loaded.graph_path.name,
    )
    if settings.anchors == "auto":
        loaded = _fit_anchors(loaded, detector, split)
    init_weights(detector, head_priors(loaded, detector, split))
    is_filled = settings.weights is not None and not resumed
    report = take_weights(loaded, detector, split) if is_filled else None
    if detector.anchors is not None:
        logger.info(
            describe_anchors(
                split.records,
                split.class_names,
                detector.anchors.numpy(),
                image_size=train.image_size,
                max_ratio=loaded.experiment.loss.assigner.anchor_limit,
            ).text
        )
    report_bins(loaded, split.records, stride=max(detector.strides))
    fresh = report.fresh if report else frozenset[str]()
    return TrainingStart(
        loaded=loaded,
        detector=detector,
        rules=_layer_rules(train, detector, fresh),
        transfer=report,
    )


def trained_graph(loaded: LoadedExperiment) -> Mapping[str, Any]:
    """Return the graph with as many bins as are trained, and scores as the class loss trains them:
    one softmax or many sigmoids.
    """
    graph = with_number_of_bins(loaded).graph
    if not loaded.experiment.loss.classification.over_classes:
        return graph
    return {**graph, "class_scores": "softmax"}


def _layer_rules(train: TrainSettings, detector: Detector, fresh: frozenset[str]) -> LayerRules:
    frozen = frozen_names(detector, train.freeze, key="train.freeze")
    factors = learning_factors(detector, train.layer_lr, frozen, key="train.layer_lr")
    if frozen:
        parameters = [parameter for _, parameter in detector.named_parameters()]
        count = sum(1 for name, _ in detector.named_parameters() if name in frozen)
        logger.info("frozen: %d of %d parameter tensors", count, len(parameters))
    return LayerRules(frozen=frozen, lr_factors=factors, fresh=fresh)


def _fit_anchors(loaded: LoadedExperiment, detector: Detector, split: Split) -> LoadedExperiment:
    """Fit anchors to the data, put them into `detector` and into the experiment's settings.

    Raises:
        ConfigError: the head has no anchors.
    """
    experiment = loaded.experiment
    if detector.anchors is None:
        raise ConfigError(f"model.anchors: auto: the head of {loaded.graph_path} has no anchors")
    fit = fit_anchors(
        split.records,
        anchors=detector.anchors.numpy(),
        image_size=experiment.train.image_size,
        max_ratio=experiment.loss.assigner.anchor_limit,
        seed=experiment.train.seed,
    )
    logger.info(fit.text)
    detector.set_anchors(torch.from_numpy(fit.anchors))
    model = experiment.model.model_copy(update={"anchors": fit.per_level})
    return replace(
        loaded,
        experiment=experiment.model_copy(update={"model": model}),
        origins={**loaded.origins, "model.anchors": "fitted to the training boxes"},
    )


def weights_metadata(loaded: LoadedExperiment, detector: Detector, split: Split) -> dict[str, Any]:
    """Return the metadata for the weights file of a run, the same when the run is resumed."""
    model = loaded.experiment.model.model_copy(update={"name": loaded.network_name})
    experiment = loaded.experiment.model_copy(update={"model": model})
    return checkpoint_metadata(
        detector,
        split.class_names,
        experiment.train.image_size,
        {
            "config": shareable_settings(experiment),
            "config_hash": loaded.hash,
            "data_fingerprint": split.fingerprint,
            "category_ids": list(split.category_ids),
            **describe_program(),
        },
    )


logger = logging.getLogger(__name__)

MEASURED_IMAGES = 256
"""Images that folded norms are measured on, at least one batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Start:
    """tensors: under the names of the network. notes: of `converted_from`, empty without."""

    tensors: Mapping[str, Tensor]
    class_names: Sequence[str] | None
    notes: Mapping[str, Any]


def take_weights(loaded: LoadedExperiment, detector: Detector, split: Split) -> TransferReport:
    """Load `model.weights`, which is set, into `detector` and log the result.

    Raises:
        ConfigError: nothing of the file fits, or there is no new tensor for `train.head_warmup`.
        UserError: the file cannot be read, or weights of that name are not on this machine.
    """
    path = find_weights_file(loaded.experiment.model.weights or "")
    start = _read(path)
    report = transfer(
        detector,
        start.tensors,
        keep_anchors=loaded.experiment.model.anchors != "graph",
        class_names=split.class_names,
        offered_names=start.class_names,
    )
    name = start.notes.get("name")
    if not any(start.tensors[taken].ndim > 1 for taken in report.taken):
        wanted = f"; it is of {name}: set model.graph=models/{name}.yaml" if name else ""
        raise ConfigError(f"model.weights: no tensor of {path} fits the network{wanted}")
    logger.info("%s: %s", path, report.summary())
    if start.notes.get("folded_norms") is True:
        _measure_norms(loaded, detector, split)
    new = report.fresh & dict(detector.named_parameters()).keys()
    if loaded.experiment.train.head_warmup > 0 and not new:
        raise ConfigError(
            f"train.head_warmup: {path} fills the whole network, there is nothing new to warm up; "
            "leave it out"
        )
    return report


def _read(path: Path) -> _Start:
    if path.suffix == ".onnx":
        imported = import_file(path)
        if imported is None:
            raise UserError(f"{path} is an exported file that is not known here; name the weights")
        return _from_imported(imported)
    if path.suffix in FOREIGN_SUFFIXES:
        checkpoint = read_torch_file(path)
        imported = import_checkpoint(checkpoint, path)
        if imported is not None:
            return _from_imported(imported)
        return _Start(tensors=checkpoint.tensors, class_names=checkpoint.class_names, notes={})
    tensors, metadata = load_weights(path)
    notes = metadata.get("converted_from")
    return _Start(
        tensors=tensors,
        class_names=metadata.get("class_names"),
        notes=notes if isinstance(notes, dict) else {},
    )


def _from_imported(imported: ImportedWeights) -> _Start:
    return _Start(tensors=imported.tensors, class_names=imported.class_names, notes=imported.notes)


def _measure_norms(loaded: LoadedExperiment, detector: Detector, split: Split) -> None:
    """Measure norms that were folded away, on the first augmented images that training draws."""
    experiment = loaded.experiment
    batches = build_train_batches(split.records, experiment, stride=detector.size_multiple)
    count = -(-MEASURED_IMAGES // experiment.train.batch_size)
    try:
        images = unfold_norms(
            detector, (batch.pixels() for batch in islice(batches.epoch(0), count))
        )
    finally:
        batches.close()
    logger.info(
        "norms that were folded into convolutions: statistics measured on %d images", images
    )


def write_weights_report(path: Path, report: TransferReport) -> None:
    """Write one row per tensor of the weights and of the network: taken, in part, left, new."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("tensor", "outcome", "why"))
    writer.writerows((csv_cell(name), "taken", "") for name in report.taken)
    shared = "box, objectness, " + (", ".join(report.classes) or "no class")
    writer.writerows((csv_cell(name), "rows", csv_cell(shared)) for name in report.partly)
    writer.writerows((csv_cell(name), "left", csv_cell(why)) for name, why in report.left)
    writer.writerows((name, "new", "keeps its start value") for name in report.missing)
    write_text(path, text.getvalue())
