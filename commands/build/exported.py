"""Detectors from exported files, run by onnxruntime, OpenVINO or TorchScript."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from configs.errors import ConfigError
from configs.schema.evaluation import EvalSettings
from models.inference.nms import Postprocessed
from models.weights.checkpoint import read_score_calibrator
from utils.export.description import Description
from utils.export.formats import SESSIONS
from utils.export.sessions import Arrays, Session, open_session, read_file_description
from utils.runtime.errors import UserError
from utils.runtime.printable import shortened
from utils.structures.results import Detections
from utils.structures.score_calibrator import ScoreCalibrator
from utils.structures.scored_cells import ScoredCells

logger = logging.getLogger(__name__)

EXPORTED_SUFFIXES = frozenset(SESSIONS)


class ExportedDetector:
    """The network in an exported file, in place of a `Detector` (see `RuntimeDetector`).

    The file is opened at the first images, with as many threads as torch has then.
    """

    def __init__(self, path: Path) -> None:
        """Read the metadata of the file.

        Raises:
            UserError, ConfigError: it cannot be read, or export.py of this program did not write
                it.
        """
        self.description = read_file_description(path)
        self.score_calibrator: ScoreCalibrator | None = read_score_calibrator(
            {"score_map": self.description.score_map}, source=str(path)
        )
        self._path = path
        self._session: Session | None = None
        self._device = torch.device("cpu")

    @property
    def size_multiple(self) -> int:
        """What height and width of the images have to be multiples of."""
        return self.description.stride

    @property
    def fixed_eval(self) -> Mapping[str, Any]:
        """The settings of section `eval` that are fixed in the file; none without suppression."""
        return asdict(self.description.suppression) if self.description.has_suppression else {}

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of weights, with the settings of the export."""
        training, description = dict(self.description.training), self.description
        config = dict(training.get("config", {}))
        config["train"] = {**config.get("train", {}), "image_size": description.image_size}
        fixed = {**self.fixed_eval, "rectangular": description.rectangular}
        config["eval"] = {**config.get("eval", {}), **fixed}
        return {**training, "config": config, "category_ids": list(description.category_ids)}

    def to(self, device: torch.device) -> "ExportedDetector":
        """Return the detector for images on `device`, itself."""
        self._device = device
        return self

    def check_settings(self, settings: EvalSettings) -> None:
        """Raise ConfigError where suppression is fixed in the file and set otherwise."""
        for key, value in self.fixed_eval.items():
            if getattr(settings, key) != value:
                raise ConfigError(
                    f"eval.{key}: {self._path.name} contains NMS, fixed at {value}; "
                    f"leave it out, or export again with eval.{key}={getattr(settings, key)}"
                )

    @torch.no_grad()
    def __call__(self, images: Tensor) -> ScoredCells | Postprocessed:
        """Return boxes and scores of images (B, 3, H, W), or detections, on the images' device."""
        if self._session is None:
            self._session = open_session(
                self._path, device=self._device, threads=torch.get_num_threads()
            )
            logger.info("%s: %s", self._path, self._session.runtime)
        outputs = self._run(np.ascontiguousarray(images.cpu().numpy(), np.float32))
        if self.description.has_suppression:
            return read_detections(outputs, self.description.suppression.max_detections)
        boxes, scores = (torch.from_numpy(array).to(images.device) for array in outputs)
        return ScoredCells(boxes=boxes, scores=scores)

    def _run(self, images: npt.NDArray[np.float32]) -> Arrays:
        """Return the outputs of images (B, 3, H, W).

        Raises:
            UserError: the file fails, or its outputs differ from its description.
        """
        assert self._session is not None
        try:
            outputs = self._session(images)
        except UserError:
            raise
        except Exception as error:  # each runtime has classes of its own, and a program any
            reason = shortened(str(error).strip().splitlines()[-1] if str(error).strip() else "")
            raise UserError(f"{self._path} cannot be run: {reason or type(error).__name__}") from (
                error
            )
        fault = output_fault(outputs, len(images), self.description)
        if fault:
            raise UserError(f"{self._path} gives {fault}; export the weights again")
        return outputs


def output_fault(outputs: Arrays, num_images: int, description: Description) -> str:
    """Return what is wrong with the outputs of a file, "" where nothing is.

    Without suppression they are boxes (B, N, 4) and scores (B, N, C); with it boxes (B, M, 4),
    scores (B, M), labels (B, M) and counts (B,).
    """
    ranks = (3, 2, 2, 1) if description.has_suppression else (3, 3)
    if len(outputs) != len(ranks):
        return f"{len(outputs)} outputs instead of {len(ranks)}"
    shapes = [array.shape for array in outputs]
    has_ranks = tuple(map(len, shapes)) == ranks
    if not has_ranks or {shape[0] for shape in shapes} != {num_images}:
        return f"outputs of shapes {shapes}"
    boxes, scores = shapes[:2]
    if boxes[2] != 4 or scores[1] != boxes[1]:
        return f"outputs of shapes {shapes}"
    num_classes = len(description.class_names)
    if description.has_suppression:
        return _labels_fault(outputs[2], outputs[3], room=boxes[1], num_classes=num_classes)
    return "" if scores[2] == num_classes else f"{scores[2]} scores for {num_classes} classes"


def _labels_fault(
    labels: npt.NDArray[Any], counts: npt.NDArray[Any], *, room: int, num_classes: int
) -> str:
    """Return what is wrong with labels (B, M) and counts (B,), "" where nothing is."""
    if not _lie_within(counts, 0, room):
        return "more detections than it has room for"
    used = [labels[image, : int(count)] for image, count in enumerate(counts.tolist())]
    is_known = all(_lie_within(row, 0, num_classes - 1) for row in used)
    return "" if is_known else "classes that it does not have"


def _lie_within(values: npt.NDArray[Any], least: int, most: int) -> bool:
    return not values.size or bool(values.min() >= least and values.max() <= most)


def read_detections(outputs: Arrays, max_detections: int) -> Postprocessed:
    """Return the outputs of a file that contains its suppression as detections.

    Whether a limit cut detections off is unknown there: images that reach `max_detections` count.
    """
    boxes, scores, labels, counts = outputs
    found = tuple(
        Detections(
            boxes=_rows(boxes, image, count),
            scores=_rows(scores, image, count),
            labels=_rows(labels, image, count).long(),
        )
        for image, count in enumerate(counts.tolist())
    )
    is_full = tuple(len(each) >= max_detections for each in found)
    return Postprocessed(
        detections=found, at_candidate_cap=(False,) * len(found), at_detection_cap=is_full
    )


def _rows(table: npt.NDArray[Any], image: int, count: int) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(table[image, :count]))
