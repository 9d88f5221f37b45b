"""YOLOX from an exported file, whose norms are folded into convolutions."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor

from models.blocks.conv import BATCH_NORM_EPS
from models.weights.importers.imported import ImportedWeights
from models.weights.importers.renaming import classes_of, renamed
from models.weights.importers.yolox import (
    INNER,
    PUBLISHED_INPUT,
    ROWS,
    SIZES,
    STEM,
    imported_yolox,
    rgb_stem,
)

Convolution = tuple[str, Tensor, Tensor]
"""Name of the node, weight (O, I, K, K) and bias (O,)."""
DEPTHS = {"nano": 1, "tiny": 1, "s": 1, "m": 2, "l": 3, "x": 4}
"""Bottlenecks of a block; the middle of the backbone has three times as many."""


def convert_folded(
    convolutions: Sequence[Convolution], coco_names: Sequence[str]
) -> ImportedWeights | None:
    """Return the convolutions of an exported YOLOX as ours, None where they are another network's.

    Norms are such that they change nothing in evaluation: mean 0, variance 1 - eps, weight 1.
    `models.weights.unfold` measures them before training.

    Args:
        convolutions: in order of execution; where nodes do not say which module they are of, as
            before torch 1.13, their order does.
        coco_names: the classes of COCO.
    """
    if not convolutions:
        return None
    stem = convolutions[0][1]
    size = SIZES.get(len(stem))
    if size is None or stem.shape[1] != 12:
        return None
    paths = [_module_path(name) for name, _, _ in convolutions]
    if f"{STEM}.conv" not in paths:
        paths = execution_order(size)
    names = [renamed(path, ROWS, INNER) for path in paths]
    if len(paths) != len(convolutions) or None in names:
        return None
    named: dict[str, Tensor] = {}
    for name, (_, weight, bias) in zip(names, convolutions, strict=True):
        named |= _entries(str(name), weight, bias)
    named["model.0.conv.conv.weight"] = rgb_stem(named["model.0.conv.conv.weight"])
    num_classes = len(named["model.24.cls_preds.0.bias"])
    return imported_yolox(
        size,
        named,
        classes_of(num_classes, None, coco_names),
        {"import_format": "yolox-onnx", "input": PUBLISHED_INPUT, "folded_norms": True},
    )


def _entries(name: str, weight: Tensor, bias: Tensor) -> dict[str, Tensor]:
    """Return the state of a convolution `name`, with a norm behind it unless it predicts."""
    if "_preds." in name:
        return {f"{name}.weight": weight.float(), f"{name}.bias": bias.float()}
    norm, ones = f"{name.removesuffix('.conv')}.bn", torch.ones(len(weight))
    return {
        f"{name}.weight": weight.float(),
        f"{norm}.weight": ones,
        f"{norm}.bias": bias.float(),
        f"{norm}.running_mean": torch.zeros(len(weight)),
        f"{norm}.running_var": ones - BATCH_NORM_EPS,
        f"{norm}.num_batches_tracked": torch.tensor(0),
    }


def _module_path(node: str) -> str:
    """Return the path of a module of the name of its node, /backbone/C3_p4/m/m.0/conv1/conv/Conv.

    A part that continues the one before it stands for both.
    """
    parts: list[str] = []
    for part in re.sub(r"/Conv(_\d+)?$", "", node).strip("/").split("/"):
        if parts and part.startswith(f"{parts[-1]}."):
            parts.pop()
        parts.append(part)
    return ".".join(parts)


def execution_order(size: str) -> list[str]:
    """Return the paths of the convolutions of a size in the order they are executed in."""
    is_separable, depth = size == "nano", DEPTHS[size]
    full = [".dconv.conv", ".pconv.conv"] if is_separable else [".conv"]

    def csp(path: str, repeats: int) -> list[str]:
        steps = [
            f"{path}.m.{index}{part}"
            for index in range(repeats)
            for part in (".conv1.conv", *(f".conv2{end}" for end in full))
        ]
        return [f"{path}.conv1.conv", f"{path}.conv2.conv", *steps, f"{path}.conv3.conv"]

    paths = [f"{STEM}.conv"]
    for stage, repeats in (("dark2", depth), ("dark3", 3 * depth), ("dark4", 3 * depth)):
        path = f"backbone.backbone.{stage}"
        paths += [*(f"{path}.0{end}" for end in full), *csp(f"{path}.1", repeats)]
    path = "backbone.backbone.dark5"
    paths += [f"{path}.0{end}" for end in full]
    paths += [f"{path}.1.conv1.conv", f"{path}.1.conv2.conv", *csp(f"{path}.2", depth)]
    for before, block in (("lateral_conv0", "C3_p4"), ("reduce_conv1", "C3_p3")):
        paths += [f"backbone.{before}.conv", *csp(f"backbone.{block}", depth)]
    for before, block in (("bu_conv2", "C3_n3"), ("bu_conv1", "C3_n4")):
        paths += [f"backbone.{before}{end}" for end in full] + csp(f"backbone.{block}", depth)
    for level in range(3):
        paths.append(f"head.stems.{level}.conv")
        for tower, outputs in (("cls_convs", ["cls"]), ("reg_convs", ["reg", "obj"])):
            paths += [f"head.{tower}.{level}.{part}{end}" for part in range(2) for end in full]
            paths += [f"head.{output}_preds.{level}" for output in outputs]
    return paths
