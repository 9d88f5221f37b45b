"""Files of other projects as weights of ours; nothing in them is executed."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.origins import CONFIGS_FOLDER
from configs.reading.yaml_reader import read_yaml
from models.detector import Detector, build_detector
from models.weights.importers import ImportedWeights, import_weights
from models.weights.importers.yolox_folded import convert_folded
from models.weights.transfer import transfer
from utils.checkpoint.torch_file import FOREIGN_SUFFIXES, ForeignCheckpoint, read_torch_file
from utils.export.onnx_weights import read_convolutions

READ_BYTES = 2**20


def import_file(path: Path) -> ImportedWeights | None:
    """Return the weights of another project's file (.pt, .pth, .ckpt, .onnx) as ours, None where no
    project that is known here wrote it.

    Raises:
        UserError: the file cannot be read.
        ConfigError: a project is recognised, but no network of it fits.
    """
    if path.suffix in FOREIGN_SUFFIXES:
        return import_checkpoint(read_torch_file(path), path)
    imported = convert_folded(read_convolutions(path), coco_names())
    return None if imported is None else _noted(imported, path)


def import_checkpoint(checkpoint: ForeignCheckpoint, path: Path) -> ImportedWeights | None:
    """Return what `import_file` does of a file that was read already."""
    try:
        imported = import_weights(
            checkpoint.tensors, class_names=checkpoint.class_names, coco_names=coco_names()
        )
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    return None if imported is None else _noted(imported, path)


def build_imported(imported: ImportedWeights, path: Path | str) -> Detector:
    """Return the detector of imported weights, in evaluation mode.

    Raises:
        ConfigError: the file lacks tensors of the network, or has others.
    """
    detector = build_detector(
        named_graph(imported.graph_name),
        num_classes=len(imported.class_names),
        source=imported.graph_name,
        max_parameters=sum(tensor.numel() for tensor in imported.tensors.values()),
    )
    report = transfer(detector, imported.tensors)
    if report.missing or report.left:
        why = dict(report.left)
        name = next(iter((*report.missing, *why)))
        raise ConfigError(
            f"{path}: named as {imported.graph_name}, but {len({*report.missing, *why})} tensors do "
            f"not fit, first {name}: {why.get(name, 'it is not in the file')}"
        )
    return detector.eval()


def named_graph(name: str) -> Mapping[str, Any]:
    """Return the content of a graph in configs/models."""
    return read_yaml(CONFIGS_FOLDER / "models" / f"{name}.yaml").values


def coco_names() -> tuple[str, ...]:
    """Return the 80 classes of COCO, which published weights know."""
    return tuple(read_yaml(CONFIGS_FOLDER / "datasets" / "coco.yaml").values["class_names"])


def sha256_of(path: Path) -> str:
    """Return the checksum of a file, 64 hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _noted(imported: ImportedWeights, path: Path) -> ImportedWeights:
    notes = {
        **imported.notes,
        "name": imported.graph_name,
        "file": path.name,
        "sha256": sha256_of(path),
    }
    return replace(imported, notes=notes)
