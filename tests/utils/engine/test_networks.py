"""The engine with the project's own network; everything else here runs on a toy."""

from pathlib import Path

import pytest
import yaml
from torch import nn

from models.detector import build_detector
from utils.engine.optimization.optimizer import split_parameters

GRAPHS = Path(__file__).parents[3] / "configs" / "models"


@pytest.mark.parametrize(("name", "published"), [("yolov5s", (60, 57, 60))])
def test_parameter_groups_have_the_published_sizes(
    name: str, published: tuple[int, int, int]
) -> None:
    graph = yaml.safe_load((GRAPHS / f"{name}.yaml").read_text())
    model: nn.Module = build_detector(graph, num_classes=80)
    groups = split_parameters(model)
    assert (len(groups.biases), len(groups.norms), len(groups.weights)) == published
