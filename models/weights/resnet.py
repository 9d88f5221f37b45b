"""Weights of torchvision's ResNets: for pixels in [0, 1], under the names of a graph's rows."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from models.graph.rows import Graph

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB, of pixels in [0, 1]; what torchvision's classifiers subtract and divide by."""

RESNET_ENTRIES = frozenset({"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight"})
"""What the state of every ResNet of torchvision holds."""


def for_plain_pixels(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return a ResNet's state for pixels in [0, 1] instead of normalised ones; others as they are.

    The first convolution W of (x - mean) / std is W / std of x, less a constant per channel that
    goes into the mean of the normalisation behind it. Deviation: at the border, zeros stood for the
    mean colour and stand for black now.

    Args:
        tensors: entries of any shape by name, as a file contains them; conv1.weight (64, 3, 7, 7).
    """
    if not tensors.keys() >= RESNET_ENTRIES or tensors["conv1.weight"].shape[1:2] != (3,):
        return tensors
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    weight = tensors["conv1.weight"].float() / std
    constant = (weight * mean).sum((1, 2, 3))
    return {
        **tensors,
        "conv1.weight": weight,
        "bn1.running_mean": tensors["bn1.running_mean"].float() + constant,
    }


STEM = "ResNetStem"
STAGES = ("BasicStage", "BottleneckStage")

_NAME = re.compile(r"^(?:(?P<stem>conv1|bn1)|layer(?P<stage>\d+))\.(?P<rest>.+)$")


def renamed_resnet(tensors: Mapping[str, Tensor], graph: Graph) -> Mapping[str, Tensor]:
    """Return tensors named as in `Detector.state_dict()` if they are those of a ResNet.

    `conv1.weight` becomes `model.<row of the stem>.conv1.weight`, `layer2.0.bn1.bias` becomes
    `model.<row of the second stage>.0.bn1.bias`; other names stay. A graph without ResNet rows gets
    its tensors back as they are.

    Args:
        tensors: entries of any shape by name, as a file contains them.
        graph: the network they are for.
    """
    stems = [row.index for row in graph.rows if row.block == STEM]
    stages = [row.index for row in graph.rows if row.block in STAGES]
    return {_renamed(name, stems, stages): tensor for name, tensor in tensors.items()}


def _renamed(name: str, stems: list[int], stages: list[int]) -> str:
    found = _NAME.match(name)
    if found is None:
        return name
    if found["stem"]:
        return f"model.{stems[0]}.{name}" if stems else name
    number = int(found["stage"])
    if not 1 <= number <= len(stages):
        return name
    return f"model.{stages[number - 1]}.{found['rest']}"
