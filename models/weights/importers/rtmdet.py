"""RTMDet of MMDetection. Source: Lyu et al. 2022, arXiv 2212.07784; github.com/open-mmlab."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from configs.errors import ConfigError
from models.weights.importers.imported import ImportedWeights
from models.weights.importers.renaming import (
    as_float,
    classes_of,
    only,
    renamed,
    without_prefix,
)
from models.weights.resnet import IMAGENET_STD

STEM = "backbone.stem.0.conv.weight"
ROWS = {
    **{f"backbone.stem.{part}": f"model.{part}" for part in range(3)},
    **{
        f"backbone.stage{stage}.{part}": f"model.{1 + 2 * stage + part}"
        for stage in range(1, 5)
        for part in range(3 if stage == 4 else 2)
    },
    "neck.reduce_layers.0": "model.12",
    "neck.top_down_blocks.0": "model.15",
    "neck.reduce_layers.1": "model.16",
    "neck.top_down_blocks.1": "model.19",
    "neck.downsamples.0": "model.20",
    "neck.bottom_up_blocks.0": "model.22",
    "neck.downsamples.1": "model.23",
    "neck.bottom_up_blocks.1": "model.25",
    **{f"neck.out_convs.{level}": f"model.{26 + level}" for level in range(3)},
    "bbox_head.cls_convs": "model.29.class_tower",
    "bbox_head.reg_convs": "model.29.box_tower",
    "bbox_head.rtm_cls": "model.29.class_outputs",
    "bbox_head.rtm_reg": "model.29.box_outputs",
}
INNER = (
    (r"^\.main_conv\.", ".cv1."),
    (r"^\.short_conv\.", ".cv2."),
    (r"^\.final_conv\.", ".cv3."),
    (r"^\.blocks\.", ".m."),
    (r"\.conv([12])\.", r".cv\1."),
    (r"\.depthwise_conv\.", ".dconv."),
    (r"\.pointwise_conv\.", ".pconv."),
)
TOWER = (
    (r"^\.\d+\.(\d+)\.conv\.", r".convolutions.\1."),
    (r"^\.(\d+)\.(\d+)\.bn\.", r".norms.\1.\2."),
)
SIZES = {12: "tiny", 16: "s", 24: "m", 32: "l", 40: "x"}
"""Channels of the stem's first convolution."""
ORIGIN = "https://github.com/open-mmlab/mmdetection/tree/main/configs/rtmdet"
LICENCE = "Apache-2.0"
INPUT = (
    "BGR 0 to 255 less the mean of ImageNet, over its standard deviation, letterbox 114; order and "
    "standard deviation folded into the first convolution, the mean is subtracted by the network"
)


def recognises(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether names are those of RTMDet, of the model or of its average."""
    return any({f"{prefix}{STEM}", f"{prefix}bbox_head.rtm_cls.0.weight"} <= tensors.keys()
               for prefix in ("", "module."))  # fmt: skip


def convert(
    tensors: Mapping[str, Tensor], stated: Sequence[str] | None, usual: Sequence[str]
) -> ImportedWeights:
    """Return RTMDet's state dict as ours, its input convention folded into the first convolution.

    Args:
        tensors: entries of any shape by name.
        stated: class names that the file gives, if any.
        usual: class names of COCO.

    Raises:
        ConfigError: no size of RTMDet has such a stem, or levels have convolutions of their own.
    """
    tensors = without_prefix(tensors, "module.") or tensors
    named: dict[str, Tensor] = {}
    for theirs, tensor in tensors.items():
        name = renamed(theirs, ROWS, TOWER if "_convs." in theirs[:24] else INNER)
        if name is None:
            continue
        value = as_float(tensor)
        if name in named and not torch.equal(named[name], value):
            raise ConfigError(
                f"{theirs}: levels have convolutions of their own, RTMDet of this program shares "
                "them (share_conv)"
            )
        named[name] = value
    stem = only("model.0.conv.weight", named, 4)
    size = SIZES.get(len(stem))
    if size is None or stem.shape[1] != 3:
        raise ConfigError(f"no RTMDet has a stem of shape {tuple(stem.shape)}")
    named["model.0.conv.weight"] = stem.flip(1) / torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    num_classes = len(only("model.29.class_outputs.0.bias", named, 1))
    return ImportedWeights(
        graph_name=f"rtmdet-{size}",
        tensors=named,
        class_names=classes_of(num_classes, stated, usual),
        image_size=640,
        notes={
            "import_format": "rtmdet",
            "origin": ORIGIN,
            "licence": LICENCE,
            "input": INPUT,
            "folded_norms": False,
        },
        evaluation={"rectangular": False},
    )
