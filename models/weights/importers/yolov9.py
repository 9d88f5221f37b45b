"""YOLOv9 of MultimediaTechLab (MIT). Source: Wang et al. 2024, arXiv 2402.13616."""

import re
from collections.abc import Mapping, Sequence

from torch import Tensor

from configs.errors import ConfigError
from models.weights.importers.imported import ImportedWeights
from models.weights.importers.renaming import (
    Rules,
    as_float,
    classes_of,
    only,
    without_prefix,
)

HEAD = 22
PREFIXES = ("ema.model.", "model.model.", "ema.", "model.", "")
"""What names start with: in checkpoints of lightning the average is preferred."""
_STEP: Rules = (
    (r"^conv1\.", "cv1."),
    (r"^conv4\.", "cv2."),
    (r"^conv([23])\.", lambda found: f"m.{int(found[1]) - 2}."),  # type: ignore[list-item]
    (r"\.bottleneck\.", ".m."),
    (r"(?<=\.)conv([123])(?=\.)", r"cv\1"),
)
_PLAIN: Rules = ((r"^conv5\.", "cv2."), (r"^conv([12])\.", r"cv\1."))
_HEAD: Rules = (
    (r"^heads\.(\d)\.anchor_conv\.2\.", r"box_outputs.\1."),
    (r"^heads\.(\d)\.class_conv\.2\.", r"class_outputs.\1."),
    (r"^heads\.(\d)\.anchor_conv\.", r"box_towers.\1."),
    (r"^heads\.(\d)\.class_conv\.", r"class_towers.\1."),
)
STEPS = frozenset({2, 4, 6, 8, 12, 15, 18, 21})
"""Rows of ELAN and GELAN blocks."""
SIZES = {(16, True): "t", (32, True): "s", (32, False): "m", (64, False): "c"}
"""Channels of the first convolution, and whether row 2 is a plain ELAN."""
ORIGIN = "https://github.com/MultimediaTechLab/YOLO"
LICENCE = "MIT"
INPUT = "RGB in [0, 1], letterbox 114 in the middle"


def _start(tensors: Mapping[str, Tensor]) -> str | None:
    for prefix in PREFIXES:
        entries = (f"{prefix}0.conv.weight", f"{prefix}{HEAD}.heads.0.anchor_conv.0.conv.weight")
        if all(entry in tensors for entry in entries):
            return prefix
    return None


def recognises(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether names are those of this YOLOv9, plain or in a checkpoint of lightning."""
    return _start(tensors) is not None


def convert(
    tensors: Mapping[str, Tensor], stated: Sequence[str] | None, usual: Sequence[str]
) -> ImportedWeights:
    """Return the state dict as ours, without the auxiliary branch, which only training needs.

    Args:
        tensors: entries of any shape by name.
        stated: class names that the file gives, if any.
        usual: class names of COCO.

    Raises:
        ConfigError: no size of YOLOv9 has such first rows.
    """
    own = without_prefix(tensors, _start(tensors) or "")
    named = {
        name: as_float(tensor)
        for theirs, tensor in own.items()
        if (name := _renamed(theirs)) is not None
    }
    stem = only("model.0.conv.weight", named, 4)
    size = SIZES.get((len(stem), "model.2.m.0.conv.weight" in named))
    if size is None:
        raise ConfigError(f"no YOLOv9 is known with a first convolution of {tuple(stem.shape)}")
    num_classes = len(only(f"model.{HEAD}.class_outputs.0.bias", named, 1))
    return ImportedWeights(
        graph_name=f"yolov9-{size}",
        tensors=named,
        class_names=classes_of(num_classes, stated, usual),
        image_size=640,
        notes={
            "import_format": "yolov9",
            "origin": ORIGIN,
            "licence": LICENCE,
            "input": INPUT,
            "folded_norms": False,
        },
        evaluation={"rectangular": False},
    )


def _renamed(name: str) -> str | None:
    found = re.match(r"(\d{1,3})\.(.+)", name)
    if found is None or int(found[1]) > HEAD or ".anc2vec." in name:
        return None
    row, rest = int(found[1]), found[2]
    rules = _HEAD if row == HEAD else _STEP if row in STEPS else _PLAIN
    for pattern, replacement in rules:
        rest = re.sub(pattern, replacement, rest)
    return f"model.{row}.{rest}"
