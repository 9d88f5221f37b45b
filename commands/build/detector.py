"""Detectors from files, and the detector a training run starts with."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from commands.build.exported import EXPORTED_SUFFIXES, ExportedDetector
from commands.build.foreign_weights import build_imported, import_checkpoint, import_file
from commands.build.plugins import import_network_parts, import_parts_of
from commands.build.priors import head_priors
from commands.build.start_weights import take_weights
from commands.build.stored_settings import shareable_settings
from commands.weights_by_name import require_weights
from configs.errors import ConfigError
from configs.reading.load import LoadedExperiment
from configs.schema.train import TrainSettings
from data.anchors import describe_anchors, fit_anchors
from data.records.load import Split
from models.detector import Detector, build_detector
from models.graph.rows import KEYS
from models.init import init_weights
from models.layer_patterns import frozen_names, learning_factors
from models.weights.checkpoint import detector_from_checkpoint
from models.weights.importers import ImportedWeights
from models.weights.metadata import checkpoint_metadata, current_metadata
from models.weights.transfer import TransferReport, transfer
from utils.checkpoint.torch_file import FOREIGN_SUFFIXES, ForeignCheckpoint, read_torch_file
from utils.checkpoint.weights import load_weights
from utils.engine.optimization.layer_rules import LayerRules
from utils.export.description import UndescribedFileError
from utils.export.trust import require_data
from utils.runtime.errors import UserError
from utils.runtime.machine.environment import describe_program

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
            "%s: the network gives NaN or infinity for a grey image, it will detect little or "
            "nothing; its weights are damaged, or of a run that diverged",
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
    fresh = report.fresh if report else frozenset[str]()
    return TrainingStart(
        loaded=loaded,
        detector=detector,
        rules=_layer_rules(train, detector, fresh),
        transfer=report,
    )


def trained_graph(loaded: LoadedExperiment) -> Mapping[str, Any]:
    """Return the graph with scores as the class loss trains them: one softmax or many sigmoids."""
    if not loaded.experiment.loss.classification.over_classes:
        return loaded.graph
    return {**loaded.graph, "class_scores": "softmax"}


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
