"""Weights of torchvision's ResNets under the names of a graph's rows."""

import re
from collections.abc import Mapping

from torch import Tensor

from models.graph.rows import Graph

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
