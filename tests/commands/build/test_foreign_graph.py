"""A foreign file states its network with the keys of a graph file and some of its own."""

from pathlib import Path

import pytest
import torch

import commands.build.detector as module
from commands.build.detector import load_detector
from models.detector import Detector, build_detector
from tests.models.factories import tiny_graph
from utils.checkpoint.torch_file import ForeignCheckpoint


def loaded(graph: dict[str, object], detector: Detector, patch: pytest.MonkeyPatch) -> Detector:
    checkpoint = ForeignCheckpoint(
        tensors=detector.state_dict(), class_names=("a", "b", "c"), graph=graph, entry="model"
    )
    patch.setattr(module, "read_torch_file", lambda _: checkpoint)
    patch.setattr(module, "require_weights", Path)  # the file is not there
    return load_detector(Path("foreign.pt")).own_detector(Path("foreign.pt"))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"channel_multiple": 4, "width_multiple": 0.4},
        {"class_scores": "softmax"},
        {"activation": "nn.ReLU()", "depth_multiple": 0.5},
    ],
)
def test_every_key_of_a_graph_counts(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = tiny_graph(**changes)
    detector = build_detector(graph, num_classes=3).eval()
    found = loaded({**graph, "ch": 3, "yaml_file": "x.yaml"}, detector, monkeypatch)
    images = torch.rand(1, 3, 16, 24)
    with torch.no_grad():
        ours, theirs = found(images).decode(), detector(images).decode()
    assert torch.equal(ours.boxes, theirs.boxes)
    assert torch.equal(ours.class_scores, theirs.class_scores)
