"""Metadata of an exported file, so that a program without our code can use it.

Every entry is text, JSON where it is more than a word: ONNX keeps it in `metadata_props`, OpenVINO
in `rt_info`, TorchScript in an extra file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor, nn

from utils.runtime.errors import UserError
from utils.runtime.files.json_file import BrokenJsonError, parse_json
from utils.runtime.printable import shortened

FORMAT_VERSION = 1
FORMAT_KEY = "focaldet_format"
"""The entry that every file of this program has."""
ENTRY = "focaldet.json"
"""Key of all entries in formats that store one text only."""
CHANNEL_ORDER = "RGB"
PIXEL_RANGE = "0 to 1, as uint8 divided by 255"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """Postprocessing settings, from section `eval`.

    Where the file contains no suppression, they are for the program that runs it.
    """

    score_threshold: float
    iou_threshold: float
    max_detections: int
    max_candidates: int
    multi_label: bool
    class_agnostic: bool
    box_voting: float | None = None


SUPPRESSION_KEYS = tuple(Suppression.__dataclass_fields__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """Everything a user of the file has to know.

    Preprocessing: the image is scaled so that its long side is `image_size` pixels, sides cut to
    whole pixels, shrinking by area averages and enlarging by linear interpolation; it is centred
    in a frame of `pad_colour` whose sides are multiples of `stride`, an odd pixel of padding to the
    bottom and to the right. Where `rectangular`, a side of the frame is ceil(scaled side / stride
    + 0.5) strides; else both are `image_size`. Any frame of whole strides may be given instead.
    """

    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    """Category id of each class in the COCO files of the training data."""
    image_size: int
    stride: int
    rectangular: bool
    pad_colour: int
    has_suppression: bool
    """Outputs are detections; else boxes and scores of all cells."""
    suppression: Suppression
    precision: str = "float32"
    score_map: Any = None
    """Calibration of scores, as in the weights; applied by the program that runs the file."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """Metadata of the training, if known: config, config_hash, epoch."""

    def to_properties(self) -> dict[str, str]:
        """Return the entries to write into the file."""
        values: dict[str, Any] = {
            FORMAT_KEY: FORMAT_VERSION,
            "class_names": list(self.class_names),
            "category_ids": list(self.category_ids),
            "image_size": self.image_size,
            "stride": self.stride,
            "letterbox": "rectangular" if self.rectangular else "square",
            "pad_colour": self.pad_colour,
            "channel_order": CHANNEL_ORDER,
            "pixel_range": PIXEL_RANGE,
            "box_format": "x1, y1, x2, y2 in pixels of the frame, not clipped",
            "nms": self.has_suppression,
            "precision": self.precision,
            **{key: getattr(self.suppression, key) for key in SUPPRESSION_KEYS},
            "training": dict(self.training),
        }
        if self.score_map is not None:
            values["score_map"] = self.score_map
        return {
            key: value if isinstance(value, str) else json.dumps(value)
            for key, value in values.items()
        }


class UndescribedFileError(UserError):
    """An exported file without metadata, written by another program."""


def read_description(properties: Mapping[str, str], *, source: str) -> Description:
    """Return the description stored in a file.

    Args:
        properties: as `Description.to_properties` made them; others are ignored.
        source: name of the file, for messages.

    Raises:
        UserError: entries are missing or damaged, or of a newer version of this program.
    """
    if FORMAT_KEY not in properties:
        raise UndescribedFileError(f"{source} has no metadata of this program's export.py")
    try:
        version = int(properties[FORMAT_KEY])
        if version != FORMAT_VERSION:
            raise UserError(
                f"{source} has export format {version}, this program reads {FORMAT_VERSION}; "
                "export the weights again"
            )
        return _checked(_read(properties))
    except (LookupError, ValueError, TypeError, OverflowError, BrokenJsonError) as error:
        raise UserError(
            f"{source}: its metadata are damaged ({shortened(error)}); export the weights again"
        ) from error


LARGEST_IMAGE = 8192
LARGEST_STRIDE = 1024
MOST_CLASSES = 65_536
MOST_DETECTIONS = 100_000


def _checked(found: Description) -> Description:
    """Return the description after checking its sizes. Raises: ValueError: one is out of range."""
    suppression = found.suppression
    within = {
        "image_size": 1 <= found.image_size <= LARGEST_IMAGE,
        "stride": 1 <= found.stride <= LARGEST_STRIDE,
        "pad_colour": 0 <= found.pad_colour <= 255,
        "class_names": 1 <= len(found.class_names) <= MOST_CLASSES,
        "category_ids": len(found.category_ids) == len(found.class_names),
        "score_threshold": 0 <= suppression.score_threshold < 1,
        "iou_threshold": 0 < suppression.iou_threshold <= 1,
        "max_detections": 1 <= suppression.max_detections <= MOST_DETECTIONS,
        "max_candidates": 1 <= suppression.max_candidates <= 100 * MOST_DETECTIONS,
        "training": all(isinstance(v, dict) for v in _sections(found.training)),
    }
    for name, is_right in within.items():
        if not is_right:
            raise ValueError(f"{name} is out of range")
    return found


def _sections(training: Mapping[str, Any]) -> list[Any]:
    config = training.get("config", {})
    if not isinstance(config, dict):
        return [config]
    return [config[name] for name in ("data", "model", "train", "eval") if name in config]


def _json(text: str, name: str) -> Any:
    return parse_json(text, source=name, max_depth=_DEPTH)


def _list(text: str, name: str, kind: type) -> tuple[Any, ...]:
    """Return a list of texts without half characters, or of whole numbers."""
    value = _json(text, name)
    if not isinstance(value, list) or not all(type(item) is kind for item in value):
        raise TypeError(f"{name} is not a list of {kind.__name__}")
    for item in value:
        str(item).encode()
    return tuple(value)


_DEPTH = 40


def _optional_number(text: str, name: str) -> float | None:
    value = _json(text, name)
    return None if value is None else float(value)


def _read(properties: Mapping[str, str]) -> Description:
    score_map = properties.get("score_map")
    return Description(
        class_names=_list(properties["class_names"], "class_names", str),
        category_ids=_list(properties["category_ids"], "category_ids", int),
        image_size=int(properties["image_size"]),
        stride=int(properties["stride"]),
        rectangular=properties["letterbox"] == "rectangular",
        pad_colour=int(properties["pad_colour"]),
        has_suppression=bool(_json(properties["nms"], "nms")),
        suppression=Suppression(
            score_threshold=float(properties["score_threshold"]),
            iou_threshold=float(properties["iou_threshold"]),
            max_detections=int(properties["max_detections"]),
            max_candidates=int(properties["max_candidates"]),
            multi_label=bool(_json(properties["multi_label"], "multi_label")),
            class_agnostic=bool(_json(properties["class_agnostic"], "class_agnostic")),
            box_voting=_optional_number(properties.get("box_voting", "null"), "box_voting"),
        ),
        precision=properties["precision"],
        score_map=None if score_map is None else _json(score_map, "score_map"),
        training=dict(_json(properties["training"], "training")),
    )


class ExportSource(Protocol):
    """Input of a writer: the network to be exported."""

    @property
    def description(self) -> Description:
        """Metadata to be stored."""
        ...

    @property
    def network(self) -> nn.Module:
        """Maps images (B, 3, H, W) to boxes (B, P, 4) and scores (B, P, C)."""
        ...

    def graph(self) -> Any:
        """Return it as an `onnx.ModelProto`, with NMS and in int8 if requested."""
        ...

    def example(self) -> Tensor:
        """Return images (2, 3, H, W) to trace the network with."""
        ...
