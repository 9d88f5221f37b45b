"""Networks of every kind as ONNX: other batches and sizes than the one that was traced."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

from models.detector import Detector, build_detector
from models.inference.export_wrapper import ExportWrapper
from tests.models.factories import randomise_norms, read_graph, tiny_graph
from tests.utils.export.test_description import DESCRIPTION
from utils.export.onnx_file import describe, onnx_of

TINY: dict[str, Any] = {
    "objectness": tiny_graph(),
    "softmax": tiny_graph(class_scores="softmax"),
    "no objectness": tiny_graph(
        head=[
            [-1, 1, "Conv", [8, 3, 2]],
            [[2, 3], 1, "Retina", ["nc", "anchors", 8, 1]],
        ]
    ),
}


@torch.no_grad()
def assert_exact(detector: Detector) -> None:
    randomise_norms(detector)
    network = ExportWrapper(detector, fused=True)
    least = max(detector.size_multiple, *detector.strides)
    model = onnx_of(network, torch.zeros(2, 3, 2 * least, 3 * least), DESCRIPTION)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for shape in ((1, 3, 4 * least, 3 * least), (3, 3, least, 2 * least)):
        images = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        found = session.run(None, {"images": images.numpy()})
        for ours, theirs in zip(network(images), found, strict=True):
            # An edge near 0 is a difference of numbers as large as the largest edge.
            largest = float(ours.abs().max())
            np.testing.assert_allclose(theirs, ours.numpy(), rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("kind", TINY)
def test_tiny_networks(kind: str) -> None:
    torch.manual_seed(1)
    assert_exact(build_detector(TINY[kind], num_classes=3))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["retinanet-csp-n", "yolov5s-transformer", "yolov5s-ghost", "yolov3-tiny", "yolov5n6"]
)
def test_shipped_networks(name: str) -> None:
    torch.manual_seed(1)
    assert_exact(build_detector(read_graph(name), num_classes=3))


def test_a_description_replaces_the_one_before() -> None:
    torch.manual_seed(1)
    network = ExportWrapper(build_detector(tiny_graph(), num_classes=3), fused=False)
    model = onnx_of(network, torch.zeros(2, 3, 16, 24), DESCRIPTION)
    describe(model, DESCRIPTION)
    describe(model, replace(DESCRIPTION, precision="int8"))
    said = [entry.value for entry in model.metadata_props if entry.key == "precision"]
    assert said == ["int8"]
