"""What export.py does: writes weights for other programs, checked before they get their name.

TensorRT engines are not checked: they run only on the GPU they were built on. A file is written to
a hidden folder beside its place, run, compared with PyTorch and only then given its name.
"""

import copy
import logging
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from commands.build.detector import LoadedDetector, load_detector
from commands.build.predictor import category_ids, prediction_settings
from commands.export.check import check, references
from commands.export.cli import ExportCommand
from commands.export.images import calibration_batches, check_batches, check_pictures, int8_cost
from configs.errors import ConfigError
from configs.schema import Experiment
from data.images.letterbox import PAD_COLOUR
from data.loading.framing import Framing
from data.loading.loader import check_image_size
from models.inference.export_wrapper import ExportWrapper
from models.inference.nms import Postprocess
from models.weights.checkpoint import METADATA_KEY
from utils.export.description import SUPPRESSION_KEYS, Description, Suppression
from utils.export.formats import FORMATS, load
from utils.export.nms_graph import append_suppression
from utils.export.onnx_file import describe, onnx_of, save_onnx
from utils.export.quantisation import quantise
from utils.export.sessions import open_session
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import cannot_write, sync_folder
from utils.runtime.machine.threads import set_threads

logger = logging.getLogger(__name__)

TRAINING_KEYS = ("config", "config_hash", "epoch", "converted_from")
"""Metadata of the weights repeated in the file, so that val.py treats both alike."""
UNUSED_KEYS = ("train.device", "eval.batch_size")
"""Settings of prediction without effect here: an export is made and checked on the CPU."""


def export(command: ExportCommand) -> tuple[Path, ...]:
    """Write the requested files and return their names.

    Raises:
        UserError, ConfigError: weights, settings or images cannot be used, a package is missing, or
        a file differs from PyTorch; that file is not written then.
    """
    for override in command.overrides:
        if override.partition("=")[0] in UNUSED_KEYS:
            raise ConfigError(f"{override.partition('=')[0]}: has no effect on an export")
    loaded = load_detector(command.weights, trusted=command.trust)
    experiment = prediction_settings(loaded, command.overrides, like_val=command.like_val)
    set_threads(experiment.train.threads)
    exporter = Exporter(command, loaded, experiment)
    paths = [exporter.write(name) for name in command.formats]
    if command.int8:
        exporter.quantise(calibration_batches(command.calibration_data, loaded, exporter.framing))
        paths += [exporter.write(name) for name in command.formats]
        if command.data is not None:
            logger.info("%s", int8_cost(command, loaded, exporter.write_cells))
    return tuple(paths)


class Exporter:
    """Writes one network in several formats."""

    def __init__(
        self, command: ExportCommand, loaded: LoadedDetector, experiment: Experiment
    ) -> None:
        """Prepare.

        Args:
            command: format, suppression, pictures and folder.
            loaded: the weights.
            experiment: as `prediction_settings` returns it.

        Raises:
            UserError: image size or pictures cannot be used, or there is no such folder.
        """
        detector = loaded.own_detector(command.weights)
        self.framing = Framing(
            image_size=experiment.train.image_size,
            stride=detector.size_multiple,
            rectangular=experiment.eval.rectangular,
        )
        check_image_size(self.framing.image_size, self.framing.stride)
        self._folder = _existing_folder(command.output or command.weights.parent)
        self._stem = command.weights.stem + ("-nms" if command.nms else "")
        self.network = ExportWrapper(detector, fused=experiment.model.fuse)
        self.description = _describe(loaded, experiment, has_suppression=command.nms)
        pictures = check_pictures(
            command.check_images, loaded, self.framing.image_size, command.calibration_data
        )
        self._wanted = references(self.network, check_batches(pictures, self.framing))
        self._graph: Any = None

    def write(self, name: str) -> Path:
        """Write, check and name the file of one format.

        Raises:
            UserError: a package is missing, the folder cannot be written, or the check fails.
        """
        chosen = FORMATS[name]
        path = self._folder / f"{self._stem}{chosen.suffix}"
        try:
            with tempfile.TemporaryDirectory(dir=self._folder, prefix=".export-") as hidden:
                unchecked = Path(hidden) / path.name
                load(chosen.writer)(unchecked, self)
                verdict = self._check(unchecked) if chosen.session else "not checked here"
                for part in sorted(Path(hidden).iterdir()):
                    os.replace(part, self._folder / part.name)
        except OSError as error:
            raise cannot_write(path, error) from error
        sync_folder(self._folder)
        logger.info("written: %s (%.1f MB); %s", path, path.stat().st_size / 1e6, verdict)
        return path

    def quantise(self, batches: Any) -> None:
        """Make the files written from now on int8, with ranges measured on `batches`."""
        self._graph = quantise(self._cells_graph(), batches, kept=self.network.head_name)
        self.description = replace(self.description, precision="int8")
        self._stem += "-int8"

    def write_cells(self, path: Path) -> None:
        """Write an .onnx file without suppression, unchecked."""
        graph = copy.deepcopy(self._cells_graph())
        describe(graph, replace(self.description, has_suppression=False))
        save_onnx(path, graph)

    def _cells_graph(self) -> Any:
        if self._graph is None:
            self._graph = onnx_of(self.network, self.example(), self.description)
        return self._graph

    def graph(self) -> Any:
        """Return the network as ONNX, with NMS and in int8 if requested."""
        graph = copy.deepcopy(self._cells_graph())
        if self.description.has_suppression:
            append_suppression(graph, self.description.suppression)
        describe(graph, self.description)
        return graph

    def example(self) -> Tensor:
        """Return images (2, 3, H, W) to trace with; every level has several cells."""
        least = max(self.framing.stride, *self.network.detector.strides)
        return torch.zeros(2, 3, 2 * least, 3 * least)

    def _check(self, path: Path) -> str:
        session = open_session(path, device=torch.device("cpu"), threads=torch.get_num_threads())
        suppression = self.description.suppression
        postprocess = Postprocess(**{key: getattr(suppression, key) for key in SUPPRESSION_KEYS})
        return check(session, self.description, self._wanted, postprocess)


def _describe(
    loaded: LoadedDetector, experiment: Experiment, *, has_suppression: bool
) -> Description:
    settings = experiment.eval
    return Description(
        class_names=loaded.class_names,
        category_ids=category_ids(loaded),
        image_size=experiment.train.image_size,
        stride=loaded.detector.size_multiple,
        rectangular=settings.rectangular,
        pad_colour=PAD_COLOUR,
        has_suppression=has_suppression,
        suppression=Suppression(**{key: getattr(settings, key) for key in SUPPRESSION_KEYS}),
        score_map=loaded.metadata.get(METADATA_KEY),
        training={key: loaded.metadata[key] for key in TRAINING_KEYS if key in loaded.metadata},
    )


def _existing_folder(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--output {folder}: {error.strerror}") from error
    return folder
