"""Detectors from files: weights of this program and of others, and exported networks."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from commands.build.exported import EXPORTED_SUFFIXES, ExportedDetector
from commands.build.plugins import import_parts_of
from commands.weights_by_name import require_weights
from configs.errors import ConfigError
from configs.origins import CONFIGS_FOLDER
from configs.reading.yaml_reader import read_yaml
from models.detector import Detector, build_detector
from models.graph.rows import KEYS
from models.weights.checkpoint import current_metadata, detector_from_checkpoint
from models.weights.importers import ImportedWeights, import_weights
from models.weights.importers.yolox_folded import convert_folded
from models.weights.transfer import transfer
from utils.checkpoint.torch_file import FOREIGN_SUFFIXES, ForeignCheckpoint, read_torch_file
from utils.checkpoint.weights import load_weights
from utils.export.description import UndescribedFileError
from utils.export.onnx_weights import read_convolutions
from utils.export.trust import require_data
from utils.runtime.errors import UserError
from utils.runtime.files.download import file_sha256
from utils.runtime.printable import printable, shortened

logger = logging.getLogger(__name__)

ENGINE_SUFFIXES = frozenset({".engine", ".plan"})
FOREIGN_IMAGE_SIZE = 640
"""Side in pixels that released weights of this family were trained at; not in their files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedDetector:
    """A detector from a file, in evaluation mode, and its metadata."""

    detector: Detector | ExportedDetector
    class_names: tuple[str, ...]
    image_size: int
    metadata: Mapping[str, Any]
    """Metadata of our own files (`config`: the resolved configuration); of foreign ones only
    `converted_from` and settings in which their own program differs, and nothing where the project
    is not known."""
    file_format: str = "safetensors"
    """Kind of the file, in words."""
    fixed_eval: Mapping[str, Any] = field(default_factory=dict)
    """Settings of section `eval` that an exported file has fixed."""
    source: Path = Path()
    """The file."""

    def own_detector(self, source: Path) -> Detector:
        """Return the detector of a weights file; exported files have none.

        Raises:
            UserError: it is an exported file.
        """
        if isinstance(self.detector, ExportedDetector):
            raise UserError(
                f"{source} is an exported file; this needs the weights it was made from"
            )
        return self.detector


def load_detector(path: Path, *, trusted: bool = False) -> LoadedDetector:
    """Return the detector in a file: weights, ours (.safetensors) or foreign (.pt, .pth, .ckpt, a
    YOLOX as .onnx), or a network as export.py writes it (.onnx, .xml, .torchscript).

    Args:
        path: the file, or a name of published weights that were fetched.
        trusted: run it even if it is a program: a .torchscript, an .xml with operations of its own,
            or weights whose network has blocks of the user's own, whose module is then imported.
            All others are data; nothing in them is executed.

    Raises:
        UserError: the file cannot be read, does not say which network it belongs to, or is a
            program and not trusted.
        ConfigError: tensors and network do not fit.
    """
    path = require_weights(str(path))
    if path.suffix in (".yaml", ".yml"):
        raise UserError(
            f"{path} holds settings, not weights; name a run's folder or a weights file"
        )
    if path.suffix in FOREIGN_SUFFIXES:
        return _answering(_from_foreign(read_torch_file(path), path), path)
    if path.suffix in EXPORTED_SUFFIXES:
        require_data(path, trusted=trusted)
        try:
            return _from_exported(path)
        except UndescribedFileError:
            imported = import_file(path) if path.suffix == ".onnx" else None
            if imported is None:
                raise
        return _answering(_from_imported(imported, path), path)
    if path.suffix in ENGINE_SUFFIXES:
        raise UserError(
            f"{path} is a TensorRT engine, a program for one machine that is not run here; "
            "name the weights or an .onnx file"
        )
    tensors, stored = load_weights(path)
    metadata = current_metadata(stored, source=str(path))
    if trusted and isinstance(metadata["graph"], Mapping):
        import_parts_of(metadata["graph"], str(path))
    loaded = LoadedDetector(
        detector=detector_from_checkpoint(tensors, metadata, source=str(path)),
        class_names=tuple(metadata["class_names"]),
        image_size=int(metadata["image_size"]),
        metadata=metadata,
        source=path,
    )
    return _answering(loaded, path)


def _answering(loaded: LoadedDetector, path: Path) -> LoadedDetector:
    """Return `loaded`; warn if its network gives NaN or infinity.

    Each weight may be finite and the sums of a layer not: NaN exceeds no threshold, so that such
    weights would silently detect nothing.
    """
    detector = loaded.own_detector(path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a thread pool would not survive a fork of the caller
    try:
        with torch.inference_mode():
            grey = torch.full((1, 3, *2 * (detector.size_multiple,)), 0.5)
            levels = detector(grey).levels
    except RuntimeError:  # an image of this size is too small for a block of it
        return loaded
    finally:
        torch.set_num_threads(threads)
    if not all(bool(torch.isfinite(level).all()) for level in levels):
        logger.warning(
            "%s: the network gives NaN or infinity for a grey image, so it detects little or "
            "nothing: the weights are damaged, or from a run that diverged",
            path,
        )
    return loaded


def _from_exported(path: Path) -> LoadedDetector:
    detector = ExportedDetector(path)
    return LoadedDetector(
        detector=detector,
        class_names=detector.description.class_names,
        image_size=detector.description.image_size,
        metadata=detector.metadata,
        file_format=f"exported, {detector.description.precision}",
        fixed_eval=detector.fixed_eval,
        source=path,
    )


def _from_imported(imported: ImportedWeights, path: Path) -> LoadedDetector:
    return LoadedDetector(
        detector=build_imported(imported, path),
        class_names=imported.class_names,
        image_size=imported.image_size,
        metadata={
            "converted_from": dict(imported.notes),
            "config": {"eval": dict(imported.evaluation)},
        },
        file_format=str(imported.notes["import_format"]),
        source=path,
    )


def _from_foreign(checkpoint: ForeignCheckpoint, path: Path) -> LoadedDetector:
    imported = import_checkpoint(checkpoint, path)
    if imported is not None:
        return _from_imported(imported, path)
    if checkpoint.graph is None or checkpoint.class_names is None:
        raise UserError(
            f"{path} has tensors but no description of network and classes; "
            "train.py takes it as model.weights beside a model.graph"
        )
    # Pickled models have further keys beside those of a graph file.
    graph = {key: value for key, value in checkpoint.graph.items() if key in KEYS}
    detector = build_detector(
        graph,
        num_classes=len(checkpoint.class_names),
        source=str(path),
        max_parameters=sum(tensor.numel() for tensor in checkpoint.tensors.values()),
    )
    report = transfer(detector, checkpoint.tensors)
    if report.missing:
        raise ConfigError(f"{path}: {len(report.missing)} tensors are missing\n{report.summary()}")
    return LoadedDetector(
        detector=detector.eval(),
        class_names=checkpoint.class_names,
        image_size=FOREIGN_IMAGE_SIZE,
        metadata={},
        file_format=f"PyTorch zip, entry {checkpoint.entry}",
    )


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


SHOWN_DIGITS = 12


def say_origin(metadata: Mapping[str, Any]) -> None:
    """Log `origin_line`, if there is something to say."""
    line = origin_line(metadata)
    if line is not None:
        logger.info("%s", line)


def origin_line(metadata: Mapping[str, Any]) -> str | None:
    """Return name, file, checksum, licence, origin and input of converted weights.

    Args:
        metadata: of the file, made by anybody; what it does not say is left out.

    Returns:
        One line, None where the weights were not converted.
    """
    source = metadata.get("converted_from")
    if not isinstance(source, Mapping):
        return None

    def said(key: str) -> str:
        value = source.get(key)
        return printable(shortened(value, 120)) if isinstance(value, str) and value else ""

    digest = said("sha256")[:SHOWN_DIGITS]
    parts = [
        " from ".join(filter(None, (said("name"), said("file")))),
        digest and f"SHA-256 {digest}...",
        said("licence") and f"licence {said('licence')}",
        said("origin"),
        said("input") and f"its authors feed {said('input')}",
    ]
    return f"weights: {', '.join(filter(None, parts))}" if any(parts) else None
