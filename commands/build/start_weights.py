"""The weights a training starts with: taken where they fit, every decision written down."""

import csv
import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from torch import Tensor

from commands.build.foreign_weights import import_checkpoint, import_file
from commands.weights_by_name import find_weights_file
from configs.errors import ConfigError
from configs.reading.load import LoadedExperiment
from data.loading.loader import build_train_batches
from data.records.load import Split
from models.detector import Detector
from models.weights.importers import ImportedWeights
from models.weights.transfer import TransferReport, transfer
from models.weights.unfold import unfold_norms
from utils.checkpoint.torch_file import FOREIGN_SUFFIXES, read_torch_file
from utils.checkpoint.weights import load_weights
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_text
from utils.runtime.printable import csv_cell

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
    """Fill `detector` from `model.weights`, which is set, and say what was taken.

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
        wanted = f"; it is of {name}: state model.graph=models/{name}.yaml" if name else ""
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
    logger.info("norms that were folded into convolutions: measured again on %d images", images)


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
