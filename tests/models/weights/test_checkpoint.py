import json

import pytest
import torch

from configs.errors import ConfigError
from models.detector import build_detector
from models.weights.checkpoint import (
    check_class_names,
    checkpoint_metadata,
    detector_from_checkpoint,
)
from models.weights.transfer import transfer
from tests.models.factories import read_graph, tiny_detector

NAMES = ["cat", "dog", "owl"]


def test_equal_detectors_exchange_everything() -> None:
    source, target = tiny_detector(seed=1), tiny_detector(seed=2)
    report = transfer(target, source.state_dict())
    assert len(report.taken) == len(source.state_dict())
    assert (report.left, report.missing) == ((), ())
    for name, tensor in target.state_dict().items():
        assert torch.equal(tensor, source.state_dict()[name])


def test_another_class_count_changes_the_head_only() -> None:
    with torch.device("meta"):
        released = build_detector(read_graph("yolov5s"), num_classes=80).state_dict()
        target = build_detector(read_graph("yolov5s"), num_classes=3)
    zeros = {name: torch.zeros(tensor.shape) for name, tensor in released.items()}
    report = transfer(target, zeros)
    assert len(report.taken) == 343
    head = {f"model.24.m.{level}.{kind}" for level in range(3) for kind in ("weight", "bias")}
    assert {name for name, _ in report.left} == head == set(report.missing)
    assert (
        dict(report.left)["model.24.m.0.bias"]
        == "shape (255,) in the weights, (24,) in the network"
    )
    assert report.summary().startswith("343 of 349 tensors taken")


def test_half_precision_becomes_single() -> None:
    source, target = tiny_detector(seed=1), tiny_detector(seed=2)
    half = {
        name: tensor.half() if tensor.is_floating_point() else tensor
        for name, tensor in source.state_dict().items()
    }
    transfer(target, half)
    for name, tensor in target.state_dict().items():
        assert tensor.dtype == source.state_dict()[name].dtype
        assert torch.equal(tensor, half[name].to(tensor.dtype))


def test_anchors_come_with_the_weights_unless_own_ones_are_kept() -> None:
    source = tiny_detector(anchors=[[1, 1, 2, 2], [30, 30, 40, 40]])
    target, keeper = tiny_detector(), tiny_detector()
    transfer(target, source.state_dict())
    assert torch.equal(target.anchors, source.anchors)
    own = keeper.anchors
    report = transfer(keeper, source.state_dict(), keep_anchors=True)
    assert torch.equal(keeper.anchors, own)
    assert report.left == (("model.4.anchors", "the network keeps its own anchors"),)


@pytest.mark.parametrize(
    ("name", "tensor", "why"),
    [
        ("model.4.anchor_grid", torch.ones(2), "follows from the anchors"),
        ("model.99.weight", torch.ones(2), "no such tensor; shape (2,)"),
        ("model.0.bn.bias", torch.full((8,), float("nan")), "NaN"),
        ("model.0.bn.bias", torch.ones(1, 8), "shape (1, 8)"),
    ],
)
def test_what_cannot_be_used_is_left_and_named(name: str, tensor: torch.Tensor, why: str) -> None:
    target = tiny_detector()
    before = target.state_dict()["model.0.bn.bias"].clone()
    report = transfer(target, {name: tensor})
    assert report.taken == ()
    assert report.left[0][0] == name
    assert why in report.left[0][1]
    assert torch.equal(target.state_dict()["model.0.bn.bias"], before)


def test_summary_shortens_long_lists() -> None:
    report = transfer(tiny_detector(), {f"x{index}": torch.ones(1) for index in range(8)})
    assert report.summary().splitlines()[-1] == "  skipped: 3 more"


@pytest.mark.parametrize("anchors", [3, [[1.5, 2, 3, 4], [10, 20, 30, 40.25]]])
def test_checkpoint_rebuilds_the_detector(anchors: object) -> None:
    detector = tiny_detector(anchors=anchors).eval()
    detector.set_anchors(detector.anchors * 1.5)
    metadata = json.loads(json.dumps(checkpoint_metadata(detector, NAMES, 64, {"epoch": 3})))
    assert (metadata["class_names"], metadata["image_size"], metadata["epoch"]) == (NAMES, 64, 3)
    rebuilt = detector_from_checkpoint(detector.state_dict(), metadata)
    images = torch.rand(1, 3, 16, 16)
    expected, actual = detector(images), rebuilt(images)
    assert not rebuilt.training
    assert torch.equal(actual.anchors, expected.anchors)
    for level, reference in zip(actual.levels, expected.levels, strict=True):
        assert torch.equal(level, reference)


def test_damaged_checkpoints_are_refused() -> None:
    detector = tiny_detector()
    metadata = checkpoint_metadata(detector, NAMES, 64)
    tensors = detector.state_dict()
    for key in ("graph", "class_names", "anchors", "format_version"):
        without = {name: value for name, value in metadata.items() if name != key}
        with pytest.raises(ConfigError, match=f"w.safetensors: metadata has no '{key}'"):
            detector_from_checkpoint(tensors, without, source="w.safetensors")
    with pytest.raises(ConfigError, match="format version 99 cannot be read"):
        detector_from_checkpoint(tensors, {**metadata, "format_version": 99})
    short = {name: tensor for name, tensor in tensors.items() if name != "model.0.bn.bias"}
    with pytest.raises(ConfigError, match=r"1 tensors.*model.0.bn.bias: it is not in the file"):
        detector_from_checkpoint(short, metadata)
    bent = {**tensors, "model.0.bn.bias": torch.zeros(9)}
    with pytest.raises(ConfigError, match=r"model.0.bn.bias: shape \(9,\)"):
        detector_from_checkpoint(bent, metadata)


def test_metadata_must_fit_the_detector() -> None:
    with pytest.raises(ValueError, match="2 class names for a detector of 3 classes"):
        checkpoint_metadata(tiny_detector(), NAMES[:2], 64)
    with pytest.raises(ValueError, match="may not replace graph"):
        checkpoint_metadata(tiny_detector(), NAMES, 64, {"graph": {}})


def test_other_classes_than_those_of_the_data_are_refused() -> None:
    check_class_names(NAMES, tuple(NAMES), source="w")
    with pytest.raises(ConfigError, match=r"w: weights of 3 classes \(cat.*, but .* 1 class \(c\)"):
        check_class_names(NAMES, ["c"], source="w")
    with pytest.raises(ConfigError, match="same order"):
        check_class_names(NAMES, NAMES[::-1], source="w")
