"""Pretrained weights of a training run: loaded where they fit, every decision recorded."""

import csv
import io
import logging
from pathlib import Path

from configs.errors import ConfigError
from configs.reading.load import LoadedExperiment
from data.records.load import Split
from models.detector import Detector
from models.weights.transfer import TransferReport, transfer
from utils.checkpoint.torch_file import FOREIGN_SUFFIXES, read_torch_file
from utils.checkpoint.weights import load_weights
from utils.runtime.files.atomic import write_text
from utils.runtime.printable import csv_cell

logger = logging.getLogger(__name__)


def take_weights(loaded: LoadedExperiment, detector: Detector, split: Split) -> TransferReport:
    """Load `model.weights`, which is set, into `detector` and log the result.

    Raises:
        ConfigError: nothing of the file fits, or there is no new tensor for `train.head_warmup`.
        UserError: the file cannot be read.
    """
    path = Path(loaded.experiment.model.weights or "")
    if path.suffix in FOREIGN_SUFFIXES:
        checkpoint = read_torch_file(path)
        tensors, class_names = checkpoint.tensors, checkpoint.class_names
    else:
        tensors, metadata = load_weights(path)
        class_names = metadata.get("class_names")
    report = transfer(
        detector,
        tensors,
        keep_anchors=loaded.experiment.model.anchors != "graph",
        class_names=split.class_names,
        offered_names=class_names,
    )
    if not report.taken:
        raise ConfigError(f"model.weights: no tensor of {path} fits the network")
    logger.info("%s: %s", path, report.summary())
    new = report.fresh & dict(detector.named_parameters()).keys()
    if loaded.experiment.train.head_warmup > 0 and not new:
        raise ConfigError(
            f"train.head_warmup: {path} fills the whole network, there is nothing new to warm up; "
            "leave it out"
        )
    return report


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
