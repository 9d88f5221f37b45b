"""RetinaNet with ResNet-50 of torchvision, first version (BSD-3).

Source: Lin et al. 2017, arXiv 1708.02002; github.com/pytorch/vision. The second version and FCOS
have towers with group normalisation, and FCOS a centre-ness: no head here has them.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from configs.errors import ConfigError
from models.weights.importers.imported import ImportedWeights
from models.weights.importers.renaming import as_float, classes_of, only, renamed
from models.weights.resnet import IMAGENET_STD

ROWS = {
    "backbone.body.conv1": "model.0.conv1",
    "backbone.body.bn1": "model.0.bn1",
    **{f"backbone.body.layer{stage}": f"model.{stage}" for stage in range(1, 5)},
    **{
        f"backbone.fpn.{kind}.{level}{part}": f"model.{row}"
        for kind, rows in (("inner_blocks", (10, 7, 5)), ("layer_blocks", (12, 13, 14)))
        for level, row in enumerate(rows)
        for part in (".0", "")  # files before torchvision 0.12 have the shorter names
    },
    "backbone.fpn.extra_blocks.p6": "model.15",
    "backbone.fpn.extra_blocks.p7": "model.17",
    "head.classification_head.conv": "model.18.class_tower.convolutions",
    "head.classification_head.cls_logits": "model.18.class_output",
    "head.regression_head.conv": "model.18.box_tower.convolutions",
    "head.regression_head.bbox_reg": "model.18.box_output",
}
NUM_ANCHORS = 9
_UNUSED = {0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
COCO_ROWS = tuple(row for row in range(91) if row not in _UNUSED)
"""Rows of its 91 that are classes of COCO; the others are background or were never labelled."""
NORM_EPS = 1e-5
"""Of our norms; the frozen ones of the published file have none."""
ORIGIN = "https://github.com/pytorch/vision"
LICENCE = "BSD-3-Clause"
INPUT = (
    "RGB in [0, 1] less the mean of ImageNet, over its standard deviation, short side 800; the "
    "deviation is folded into the first convolution, the mean is subtracted by the network"
)


def recognises(tensors: Mapping[str, Tensor]) -> bool:
    """Tell whether names are those of a RetinaNet or FCOS of torchvision."""
    return {
        "backbone.body.conv1.weight",
        "backbone.fpn.extra_blocks.p6.weight",
        "head.classification_head.cls_logits.weight",
    } <= tensors.keys()


def convert(
    tensors: Mapping[str, Tensor], stated: Sequence[str] | None, usual: Sequence[str]
) -> ImportedWeights:
    """Return the state dict as ours.

    Its anchors are centred on the corner of a cell, ours on its middle: half a cell goes into the
    bias of the shifts, exact but for the rounding of anchors (below half a pixel). A norm without
    eps becomes one with, of the same values.

    Args:
        tensors: entries of any shape by name.
        stated: class names that the file gives, if any.
        usual: class names of COCO.

    Raises:
        ConfigError: it is FCOS, the second version, or another backbone.
    """
    if "head.regression_head.bbox_ctrness.weight" in tensors:
        raise ConfigError("FCOS of torchvision is not read: no head here has its group norms")
    if "head.classification_head.conv.0.1.weight" in tensors:
        raise ConfigError(
            "the second version of torchvision's RetinaNet is not read: no head here has its group "
            "norms; take the first, retinanet_resnet50_fpn_coco"
        )
    named: dict[str, Tensor] = {}
    for theirs, tensor in tensors.items():
        name = renamed(theirs, ROWS, ())
        if name is not None:
            named[_tower_name(name)] = as_float(tensor)
    _thaw_norms(named)
    std = torch.tensor(IMAGENET_STD).view(1, 3, 1, 1)
    named["model.0.conv1.weight"] = only("model.0.conv1.weight", named, 4) / std
    named["model.18.anchors"] = _anchors()
    _move_half_a_cell(named)
    num_classes = _take_classes(named)
    return ImportedWeights(
        graph_name="retinanet-r50-fpn",
        tensors=named,
        class_names=classes_of(num_classes, stated, usual),
        image_size=1024,
        notes={
            "import_format": "torchvision",
            "origin": ORIGIN,
            "licence": LICENCE,
            "input": INPUT,
            "folded_norms": False,
        },
    )


def _tower_name(name: str) -> str:
    """Return the name of a tower's entry: convolutions are numbered alone in ours.

    Files since torchvision 0.12 have conv.K.0, older ones conv.2K.
    """
    found = re.match(r"(model\.18\.\w+_tower\.convolutions)\.(\d+)(\.0)?\.(weight|bias)$", name)
    if found is None:
        return name
    number = int(found[2]) if found[3] else int(found[2]) // 2
    return f"{found[1]}.{number}.{found[4]}"


def _thaw_norms(named: dict[str, Tensor]) -> None:
    """Make frozen norms without eps usual ones of the same values, in place."""
    for name in [name for name in named if name.endswith(".running_var")]:
        norm = name.removesuffix(".running_var")
        if f"{norm}.num_batches_tracked" in named:
            continue
        variance, weight = named[name], named.get(f"{norm}.weight")
        if weight is not None and weight.shape == variance.shape:
            least = variance.clamp(min=torch.finfo(variance.dtype).tiny)
            named[f"{norm}.weight"] = weight * ((variance + NORM_EPS) / least).sqrt()
        named[f"{norm}.num_batches_tracked"] = torch.tensor(0)


def _anchors() -> Tensor:
    """Return width and height of each anchor in cells (5, 9, 2): whole numbers of pixels."""
    rows = []
    for level in range(5):
        side, stride = 32 * 2**level, 8 * 2**level
        sizes = torch.tensor([float(int(side * 2 ** (k / 3))) for k in range(3)])
        root = torch.tensor([0.5, 1.0, 2.0]).sqrt()
        widths, heights = (1 / root)[:, None] * sizes, root[:, None] * sizes
        half = torch.stack((widths.flatten(), heights.flatten()), dim=1) / 2
        rows.append(2 * half.round() / stride)
    return torch.stack(rows)


def _move_half_a_cell(named: dict[str, Tensor]) -> None:
    """Shift boxes by half a cell to the top left, in the bias (9 * 4,) of the shifts, in place."""
    bias = only("model.18.box_output.bias", named, 1)
    if len(bias) != 4 * NUM_ANCHORS:
        raise ConfigError(f"its head has {len(bias) // 4} anchors, {NUM_ANCHORS} were expected")
    moved = bias.view(NUM_ANCHORS, 4).clone()
    moved[:, :2] -= 0.5 / named["model.18.anchors"].mean(dim=0)
    named["model.18.box_output.bias"] = moved.flatten()


def _take_classes(named: dict[str, Tensor]) -> int:
    """Keep the rows of classes in the last convolution, in place; return how many there are."""
    weight = only("model.18.class_output.weight", named, 4)
    bias = only("model.18.class_output.bias", named, 1)
    total, rest = divmod(len(bias), NUM_ANCHORS)
    if rest or len(weight) != len(bias):
        raise ConfigError(f"its head has {len(bias)} class rows, a multiple of 9 was expected")
    rows = COCO_ROWS if total == 91 else tuple(range(1, total))
    for name, tensor in (("weight", weight), ("bias", bias)):
        by_anchor = tensor.unflatten(0, (NUM_ANCHORS, total))
        named[f"model.18.class_output.{name}"] = by_anchor[:, list(rows)].flatten(0, 1)
    return len(rows)
