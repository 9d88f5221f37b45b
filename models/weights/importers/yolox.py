"""YOLOX of Megvii.

Source: Ge et al. 2021, arXiv 2107.08430; github.com/Megvii-BaseDetection.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from configs.errors import ConfigError
from models.weights.importers.imported import ImportedWeights
from models.weights.importers.renaming import as_float, classes_of, only, renamed
from models.weights.resnet import IMAGENET_MEAN, IMAGENET_STD

STEM = "backbone.backbone.stem.conv"
_BACKBONE = {"stem": 0, "dark2": 1, "dark3": 3, "dark4": 5, "dark5": 7}
ROWS = {
    "backbone.backbone.stem": "model.0",
    **{
        f"backbone.backbone.{stage}.{part}": f"model.{first + part}"
        for stage, first in _BACKBONE.items()
        for part in range(3)
        if first
    },
    "backbone.lateral_conv0": "model.10",
    "backbone.C3_p4": "model.13",
    "backbone.reduce_conv1": "model.14",
    "backbone.C3_p3": "model.17",
    "backbone.bu_conv2": "model.18",
    "backbone.C3_n3": "model.20",
    "backbone.bu_conv1": "model.21",
    "backbone.C3_n4": "model.23",
    "head": "model.24",
}
INNER = ((r"\.conv([123])\b", r".cv\1"),)
SIZES = {16: "nano", 24: "tiny", 32: "s", 48: "m", 64: "l", 80: "x"}
"""Channels of the stem."""
SMALL_IMAGES = frozenset({"nano", "tiny"})
ORIGIN = "https://github.com/Megvii-BaseDetection/YOLOX"
LICENCE = "Apache-2.0"
PUBLISHED_INPUT = "BGR 0 to 255, letterbox 114 at the top left; folded into the first convolution"
LEGACY_INPUT = (
    "RGB in [0, 1] less mean over standard deviation of ImageNet (files of 2021, told by the norms "
    "of the stem); folded into the first convolution, exact but for the border"
)
NORMAL_VARIANCE = 50.0
"""Median of variance over squared weights in the stem, below which pixels were normalised: in
published nano, on photographs, it is 8,200 with pixels to 255, which would be 2.4 of normalised
ones."""
LEAST_SPREAD = 10.0
"""Largest over smallest of these quotients in weights that have learned from images; 71 there."""


def recognises(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether names are those of YOLOX."""
    return {f"{STEM}.conv.weight", "head.stems.0.conv.weight"} <= tensors.keys()


def convert(
    tensors: Mapping[str, Tensor], stated: Sequence[str] | None, usual: Sequence[str]
) -> ImportedWeights:
    """Return YOLOX's state dict as ours, its input convention folded into the stem.

    Args:
        tensors: entries of any shape by name.
        stated: class names that the file gives, if any.
        usual: class names of COCO.

    Raises:
        ConfigError: no size of YOLOX has such a stem.
    """
    named = {
        name: as_float(tensor)
        for theirs, tensor in tensors.items()
        if (name := renamed(theirs, ROWS, INNER)) is not None
    }
    stem = only("model.0.conv.conv.weight", named, 4)
    size = SIZES.get(len(stem))
    if size is None or stem.shape[1] != 12:
        raise ConfigError(f"no YOLOX has a stem of shape {tuple(stem.shape)}")
    is_legacy = _is_legacy(stem, only("model.0.conv.bn.running_var", named, 1))
    named.update(
        _normalised_stem(named) if is_legacy else {"model.0.conv.conv.weight": rgb_stem(stem)}
    )
    return imported_yolox(
        size,
        named,
        classes_of(len(only("model.24.cls_preds.0.bias", named, 1)), stated, usual),
        {
            "import_format": "yolox",
            "input": LEGACY_INPUT if is_legacy else PUBLISHED_INPUT,
            "folded_norms": False,
        },
    )


def imported_yolox(
    size: str,
    named: Mapping[str, Tensor],
    class_names: tuple[str, ...],
    notes: Mapping[str, object],
) -> ImportedWeights:
    """Return entries (any shape) under our names as the weights of a size of YOLOX."""
    return ImportedWeights(
        graph_name=f"yolox-{size}",
        tensors=named,
        class_names=class_names,
        image_size=416 if size in SMALL_IMAGES else 640,
        notes={"origin": ORIGIN, "licence": LICENCE, **notes},
        evaluation={"multi_label": False, "rectangular": False},
    )


def rgb_stem(stem: Tensor) -> Tensor:
    """Return a stem (O, 12, K, K) for RGB in [0, 1] of one for BGR up to 255."""
    by_corner: Tensor = stem.unflatten(1, (4, 3))
    return 255 * by_corner.flip(2).flatten(1, 2)


def _is_legacy(stem: Tensor, variance: Tensor) -> bool:
    """Tell from the stem (O, 12, K, K) and the variance (O,) of its output what pixels it saw."""
    quotients = variance / stem.square().sum(dim=(1, 2, 3)).clamp(min=torch.finfo().tiny)
    has_learned = bool(quotients.max() > LEAST_SPREAD * quotients.min())
    return has_learned and bool(quotients.median() < NORMAL_VARIANCE)


def _normalised_stem(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the stem's entries for RGB in [0, 1] of those for normalised pixels."""
    mean, std = (
        torch.tensor(values).repeat(4).view(1, 12, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    weight = named["model.0.conv.conv.weight"] / std
    constant = (weight * mean).sum(dim=(1, 2, 3))
    return {
        "model.0.conv.conv.weight": weight,
        "model.0.conv.bn.running_mean": only("model.0.conv.bn.running_mean", named, 1) + constant,
    }
