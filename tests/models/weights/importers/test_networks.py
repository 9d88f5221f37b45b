"""Published layouts and forward passes of YOLOX, RTMDet and YOLOv9 against our graphs."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from commands.build.detector import build_imported, coco_names, named_graph
from models.detector import Detector, build_detector
from models.inference.fusion import fuse
from models.weights.importers import ImportedWeights, import_weights, yolox
from models.weights.resnet import IMAGENET_MEAN, IMAGENET_STD
from tests.models.filled import SIZES, blank_state, filled_state, golden, layout

ALL = [(project, size) for project, sizes in SIZES.items() for size in sizes]


def imported(tensors: Mapping[str, Tensor], **options: Any) -> ImportedWeights:
    weights = import_weights(tensors, coco_names=coco_names(), **options)
    assert weights is not None
    return weights


def shapes_only(name: str) -> Detector:
    with torch.device("meta"):
        return build_detector(named_graph(name), num_classes=80, source=name)


def assert_close(own: Tensor, reference: Any) -> None:
    """Within 1e-4 of the largest value, and of each value that is not tiny."""
    expected = torch.from_numpy(reference)
    error = (own - expected).abs()
    assert own.shape == expected.shape
    assert float(error.max() / expected.abs().max()) < 1e-4
    assert float((error / (expected.abs() + 1e-2)).max()) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("project", "size"), ALL)
def test_layouts_are_equal(project: str, size: str) -> None:
    weights = imported(blank_state(project, size))
    assert weights.graph_name == f"{project}-{size}"
    assert weights.class_names[0] == "person"
    detector = shapes_only(weights.graph_name)
    own = {name: tuple(tensor.shape) for name, tensor in detector.state_dict().items()}
    assert {name: tuple(tensor.shape) for name, tensor in weights.tensors.items()} == own
    published = layout(project, size)
    parameters = sum(parameter.numel() for parameter in detector.parameters())
    # Three constant rows 0 to 15 count there, which are no parameters of ours.
    constants = 3 * 16 if project == "yolov9" else 0
    expected = published.get("parameters_without_auxiliary", published["parameters"])
    assert parameters == expected - constants
    assert weights.image_size == (416 if size in ("nano", "tiny") and project == "yolox" else 640)


@pytest.mark.parametrize("size", ["s", "m"])
def test_rtmdet_has_its_norms_and_coding(size: str) -> None:
    published, detector = layout("rtmdet", size), shapes_only(f"rtmdet-{size}")
    norms = [m for m in detector.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum) for norm in norms} == {
        (published["bn"]["eps"], published["bn"]["momentum"])
    }
    assert detector.head.decoder.is_linear is not published["exp_on_reg"]  # type: ignore[attr-defined]
    assert detector.head.decoder.offset == 0  # type: ignore[attr-defined]


@pytest.mark.parametrize("size", ["nano", "tiny"])
def test_yolox_forward(size: str) -> None:
    weights = imported(filled_state("yolox", size))
    detector = build_imported(weights, f"yolox-{size}")
    x = torch.from_numpy(np.random.default_rng(7).random((2, 3, 96, 128)).astype(np.float32))
    with torch.no_grad():
        # Its own program feeds BGR up to 255.
        decoded = detector(x.flip(1) / 255).decode()
    reference = golden("yolox_forward.npz")[f"{size}_decoded"]
    assert decoded.boxes is not None
    centers = (decoded.boxes[..., :2] + decoded.boxes[..., 2:]) / 2
    sides = decoded.boxes[..., 2:] - decoded.boxes[..., :2]
    scores = torch.cat((decoded.objectness[..., None], decoded.class_scores), dim=-1)
    assert_close(torch.cat((centers, sides), dim=-1), reference[..., :4])
    assert_close(scores, reference[..., 4:])
    assert "BGR" in weights.notes["input"]


@pytest.mark.slow
@pytest.mark.parametrize("size", ["tiny", "m"])
def test_rtmdet_forward(size: str) -> None:
    weights = imported(filled_state("rtmdet", size))
    detector = build_imported(weights, f"rtmdet-{size}")
    x = np.random.default_rng(7).standard_normal((2, 3, 96, 128)).astype(np.float32)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        # Its own program feeds BGR less the mean over the standard deviation.
        predictions = detector(torch.from_numpy(x).flip(1) * std + mean)
    reference = golden("rtmdet_forward.npz")
    is_exp = layout("rtmdet", size)["exp_on_reg"]
    for level, (raw, stride) in enumerate(
        zip(predictions.levels, predictions.strides, strict=True)
    ):
        maps = raw[:, 0].permute(0, 3, 1, 2)
        distances = maps[:, :4].exp() if is_exp else maps[:, :4]
        assert_close(distances * stride, reference[f"{size}_box{level}"])
        assert_close(maps[:, 4:], reference[f"{size}_cls{level}"])


@pytest.mark.slow
def test_yolov9_forward_also_with_its_convolutions_side_by_side_made_one() -> None:
    detector = build_imported(imported(filled_state("yolov9", "t")), "yolov9-t")
    x = torch.from_numpy(np.random.default_rng(7).random((2, 3, 96, 128)).astype(np.float32))
    reference, fused = golden("yolov9t_forward.npz"), fuse(detector)
    assert not any(".cv1.cv2." in name for name in fused.state_dict())
    with torch.no_grad():
        raws = [*enumerate(detector(x).levels), *enumerate(fused(x).levels)]
    for level, raw in raws:
        maps = raw[:, 0].permute(0, 3, 1, 2)
        bins = maps[:, :64].unflatten(1, (4, 16))
        places = torch.arange(16.0).view(1, 1, 16, 1, 1)
        assert_close(bins.transpose(1, 2), reference[f"bins{level}"])
        assert_close((bins.softmax(2) * places).sum(2), reference[f"dist{level}"])
        assert_close(maps[:, 64:], reference[f"cls{level}"])


@pytest.mark.slow
def test_legacy_pixels_of_yolox_are_told_by_the_norms_of_the_stem() -> None:
    """A stem that has learned from pixels of variance 1, and one that has from pixels to 255."""
    state = filled_state("yolox", "nano")
    weight, norm = state[f"{yolox.STEM}.conv.weight"], f"{yolox.STEM}.bn.running_var"
    spread = torch.logspace(-2, 2, len(weight))
    squares = weight.square().sum(dim=(1, 2, 3))
    assert "to 255" in imported({**state, norm: 5000 * spread * squares}).notes["input"]
    old = imported({**state, norm: spread * squares})
    assert "standard deviation" in old.notes["input"]
    images = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).double()
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    plain = build_imported(imported({**state, norm: 5000 * spread * squares}), "plain")
    with torch.no_grad():
        plain.model[0].conv.bn.running_var.copy_(spread * squares)  # type: ignore[union-attr,operator]
        plain.model[0].conv.conv.weight.copy_(weight)  # type: ignore[union-attr,operator]
        expected = plain.double().model[0]((images - mean) / std)
        found = build_imported(old, "old").double().model[0](images)
    inner = (..., slice(1, -1), slice(1, -1))
    torch.testing.assert_close(found[inner], expected[inner], rtol=1.3e-6, atol=1e-5)


@pytest.mark.slow
def test_classes_are_named_by_the_file_by_coco_or_by_number() -> None:
    state = blank_state("yolov9", "t")
    assert imported(state, class_names=["a"] * 80).class_names == ("a",) * 80
    assert imported(state, class_names=["a"] * 3).class_names == coco_names()
    for level in range(3):
        for kind, shape in (("weight", (2, 128, 1, 1)), ("bias", (2,))):
            state[f"22.heads.{level}.class_conv.2.{kind}"] = torch.zeros(shape)
    assert imported(state).class_names == ("class 0", "class 1")


def test_names_of_nobody_are_nobody_s() -> None:
    assert import_weights({"model.0.conv.weight": torch.zeros(1)}) is None
    assert import_weights({}) is None
