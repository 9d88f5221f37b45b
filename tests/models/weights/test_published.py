"""The shipped graphs against published parameter counts and state-dict layouts."""

import functools
import json

import pytest
import torch

from models.detector import Detector, build_detector
from models.inference.fusion import fuse
from tests.conftest import GOLDEN
from tests.models.factories import GRAPHS, read_graph

P5, P6 = (8, 16, 32), (8, 16, 32, 64)
PUBLISHED = {
    "yolov5n": (1_872_157, P5),
    "yolov5s": (7_235_389, P5),
    "yolov5m": (21_190_557, P5),
    "yolov5l": (46_563_709, P5),
    "yolov5x": (86_749_405, P5),
    "yolov5n6": (3_246_940, P6),
    "yolov5s6": (12_626_620, P6),
    "yolov5m6": (35_731_932, P6),
    "yolov5l6": (76_770_172, P6),
    "yolov5x6": (140_794_780, P6),
    "yolov5-p2": (47_493_372, (4, 8, 16, 32)),
    "yolov5-p7": (144_281_723, (8, 16, 32, 64, 128)),
    "yolov3": (61_949_149, P5),
    "yolov3-spp": (62_998_749, P5),
    "yolov3-tiny": (8_852_366, (16, 32)),
    "yolov5s-ghost": (3_897_605, P5),
    "yolov5s-transformer": (7_235_645, P5),
}


@functools.cache
def shapes_only(name: str, num_classes: int = 80) -> Detector:
    with torch.device("meta"):
        return build_detector(read_graph(name), num_classes=num_classes, source=name)


def count(detector: Detector) -> int:
    return sum(parameter.numel() for parameter in detector.parameters())


FAMILIES = ("retinanet-", "focal-", "yolox-", "rtmdet-", "yolov9-")
"""Compared elsewhere, the last three in `importers/`."""


def test_every_shipped_graph_has_a_published_count() -> None:
    """RetinaNet's are compared with torchvision's in `heads/test_retina.py`; ours are below."""
    shipped = {path.stem for path in GRAPHS.glob("*.yaml")}
    others = {name for name in shipped if not name.startswith(FAMILIES)}
    assert others == set(PUBLISHED)


OWN = {
    "focal-n": 2_483_968,
    "focal-s": 9_791_344,
    "focal-m": 30_891_024,
    "focal-l": 71_231_536,
    "focal-x": 137_498_512,
}
"""Ours, with 80 classes; docs/modern.md states them."""


@pytest.mark.parametrize("name", OWN)
def test_our_own_graphs_have_the_stated_parameters(name: str) -> None:
    detector = shapes_only(name)
    assert (count(detector), detector.strides) == (OWN[name], P5)
    assert detector.anchors is None


def test_the_smallest_of_our_own_is_small() -> None:
    assert count(shapes_only("focal-n", 3)) < 3_000_000


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_parameters_and_strides_are_the_published_ones(name: str) -> None:
    detector = shapes_only(name)
    assert (count(detector), detector.strides) == PUBLISHED[name]


@pytest.mark.parametrize(("num_classes", "expected"), [(3, 7_027_720), (1, 7_022_326)])
def test_other_class_counts_have_the_published_parameters(num_classes: int, expected: int) -> None:
    assert count(shapes_only("yolov5s", num_classes)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("size", "nsmlx")
def test_state_has_the_layout_of_released_weights(size: str) -> None:
    layout = json.loads((GOLDEN / f"yolov5{size}_layout.json").read_text())
    detector = shapes_only(f"yolov5{size}")
    entries = [[name, list(tensor.shape)] for name, tensor in detector.state_dict().items()]
    assert entries == layout["entries"]
    assert count(detector) == layout["params"]
    assert count(fuse(detector)) == layout["fused_params"]


def test_p5_anchors_are_stored_in_cells() -> None:
    detector = build_detector(read_graph("yolov5n"), num_classes=1)
    assert detector.anchors[2].tolist() == [[116, 90], [156, 198], [373, 326]]
    assert detector.state_dict()["model.24.anchors"][0, 1].tolist() == [16 / 8, 30 / 8]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["yolov5n", "yolov5n6", "yolov3-tiny", "yolov5s-ghost", "yolov5s-transformer"]
)
def test_forward_gives_one_raw_map_per_level(name: str) -> None:
    detector = build_detector(read_graph(name), num_classes=2).eval()
    with torch.no_grad():
        predictions = detector(torch.rand(2, 3, 64, 128))
    expected = [(2, 3, 64 // stride, 128 // stride, 7) for stride in detector.strides]
    assert [tuple(level.shape) for level in predictions.levels] == expected
    assert predictions.anchors.shape == (len(expected), 3, 2)
