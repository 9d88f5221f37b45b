"""Files of other projects as weights of ours; nothing in them is executed."""

from collections.abc import Callable, Mapping
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
from utils.runtime.files.download import file_sha256


def import_file(path: Path) -> ImportedWeights | None:
    """Return the weights of another project's file (.pt, .pth, .ckpt, .onnx) as ours, None where no
    project that is known here wrote it.

    Raises:
        UserError: the file cannot be read.
        ConfigError: a project is recognised, but no network of it fits.
    """
    if path.suffix in FOREIGN_SUFFIXES:
        return import_checkpoint(read_torch_file(path), path)
    convolutions = read_convolutions(path)
    return _noted(lambda: convert_folded(convolutions, coco_names()), path)


def import_checkpoint(checkpoint: ForeignCheckpoint, path: Path) -> ImportedWeights | None:
    """Return what `import_file` does of a file that was read already."""
    return _noted(
        lambda: import_weights(
            checkpoint.tensors, class_names=checkpoint.class_names, coco_names=coco_names()
        ),
        path,
    )


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
        misfits = list(dict.fromkeys((*report.missing, *why)))
        name = misfits[0]
        raise ConfigError(
            f"{path}: named as {imported.graph_name}, but {len(misfits)} tensors do not fit, "
            f"first {name}: {why.get(name, 'it is not in the file')}"
        )
    return detector.eval()


def named_graph(name: str) -> Mapping[str, Any]:
    """Return the content of a graph in configs/models."""
    return read_yaml(CONFIGS_FOLDER / "models" / f"{name}.yaml").values


def coco_names() -> tuple[str, ...]:
    """Return the 80 classes of COCO, which published weights know."""
    return tuple(read_yaml(CONFIGS_FOLDER / "datasets" / "coco.yaml").values["class_names"])


def _noted(read: Callable[[], ImportedWeights | None], path: Path) -> ImportedWeights | None:
    """Return what is read, with a note of the file it was read from.

    Raises:
        ConfigError: a project is recognised, but no network of it fits; names the file.
    """
    try:
        imported = read()
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if imported is None:
        return None
    notes = {
        **imported.notes,
        "name": imported.graph_name,
        "file": path.name,
        "sha256": file_sha256(path),
    }
    return replace(imported, notes=notes)
