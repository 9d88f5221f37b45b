"""What an exported file says of itself, so that a program without our code can use it.

Every entry is text, JSON where it is more than a word: ONNX keeps it in `metadata_props`, OpenVINO
in `rt_info`, TorchScript in an extra file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from utils.runtime.errors import UserError

FORMAT_VERSION = 1
ENTRY = "focaldet.json"
"""Under which name formats without a place for many entries keep all of them."""
CHANNEL_ORDER = "RGB"
PIXEL_RANGE = "0 to 1, as uint8 divided by 255"


@dataclass(frozen=True, slots=True, kw_only=True)
class Suppression:
    """How candidates become detections, the settings of section `eval` that decide it.

    Where the file holds no suppression, they are those of the training, for whoever runs it.
    """

    score_threshold: float
    iou_threshold: float
    max_detections: int
    max_candidates: int
    multi_label: bool
    class_agnostic: bool


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
    """What COCO files of the training call each class."""
    image_size: int
    stride: int
    rectangular: bool
    pad_colour: int
    has_suppression: bool
    """Outputs are detections; else boxes and scores of all cells."""
    suppression: Suppression
    precision: str = "float32"
    score_map: Any = None
    """Calibration of scores, as the weights have it; whoever runs the file applies it."""
    training: Mapping[str, Any] = field(default_factory=dict)
    """What the weights say of their training: config, config_hash, epoch, where they do."""

    def to_properties(self) -> dict[str, str]:
        """Return the entries to write into the file."""
        values: dict[str, Any] = {
            "focaldet_format": FORMAT_VERSION,
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


def read_description(properties: Mapping[str, str], *, source: str) -> Description:
    """Return what a file says of itself.

    Args:
        properties: as `Description.to_properties` made them; further ones are not read.
        source: name of the file, for messages.

    Raises:
        UserError: entries are missing or damaged, or of a newer version of this program.
    """
    if "focaldet_format" not in properties:
        raise UserError(f"{source} was not written by export.py of this program: it says nothing")
    try:
        version = int(properties["focaldet_format"])
        if version != FORMAT_VERSION:
            raise UserError(
                f"{source} has export format {version}, this program reads {FORMAT_VERSION}; "
                "export the weights again"
            )
        return _read(properties)
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(
            f"{source}: what it says of itself is damaged ({error}); export the weights again"
        ) from error


def _read(properties: Mapping[str, str]) -> Description:
    score_map = properties.get("score_map")
    return Description(
        class_names=tuple(map(str, json.loads(properties["class_names"]))),
        category_ids=tuple(map(int, json.loads(properties["category_ids"]))),
        image_size=int(properties["image_size"]),
        stride=int(properties["stride"]),
        rectangular=properties["letterbox"] == "rectangular",
        pad_colour=int(properties["pad_colour"]),
        has_suppression=bool(json.loads(properties["nms"])),
        suppression=Suppression(
            score_threshold=float(properties["score_threshold"]),
            iou_threshold=float(properties["iou_threshold"]),
            max_detections=int(properties["max_detections"]),
            max_candidates=int(properties["max_candidates"]),
            multi_label=bool(json.loads(properties["multi_label"])),
            class_agnostic=bool(json.loads(properties["class_agnostic"])),
        ),
        precision=properties["precision"],
        score_map=None if score_map is None else json.loads(score_map),
        training=dict(json.loads(properties["training"])),
    )
