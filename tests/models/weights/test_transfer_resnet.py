"""torchvision's ResNets as backbones: every tensor finds its place and computes the same."""

import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18

from models.detector import build_detector
from models.weights.resnet import IMAGENET_MEAN, IMAGENET_STD, for_plain_pixels
from models.weights.transfer import transfer
from tests.models.factories import read_graph


@torch.no_grad()
def random_resnet() -> torch.nn.Module:
    torch.manual_seed(0)
    network = resnet18(weights=None)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return network.eval()


@pytest.mark.slow
@torch.no_grad()
def test_backbone_computes_what_the_classifier_computed() -> None:
    network = random_resnet()
    detector = build_detector(read_graph("retinanet-r18"), num_classes=2).eval()
    report = transfer(detector, network.state_dict())
    assert {name for name, _ in report.left} == {"fc.weight", "fc.bias"}
    assert all(int(name.split(".")[1]) >= 5 for name in report.missing)
    assert len(report.taken) == len(network.state_dict()) - 2

    image = torch.rand(1, 3, 224, 224)
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (IMAGENET_MEAN, IMAGENET_STD))
    expected = network.bn1(network.conv1((image - mean) / std))
    stem = detector.model[0]
    actual = stem.bn1(stem.conv1(image))
    inner = (..., slice(2, -2), slice(2, -2))  # the border saw the mean colour, it sees black now
    torch.testing.assert_close(actual[inner], expected[inner], rtol=1e-4, atol=1e-4)

    features = expected = torch.rand(1, 64, 16, 16)
    for row, stage in enumerate(("layer1", "layer2", "layer3", "layer4"), start=1):
        expected = getattr(network, stage)(expected)
        features = detector.model[row](features)
    assert torch.equal(features, expected)


@pytest.mark.parametrize("missing", ["conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight"])
def test_other_weights_are_left_as_they_are(missing: str) -> None:
    state: dict[str, Tensor] = dict(random_resnet().state_dict())
    del state[missing]
    assert for_plain_pixels(state) is state


def test_a_network_without_such_rows_takes_nothing() -> None:
    detector = build_detector(read_graph("yolov5n"), num_classes=2)
    report = transfer(detector, random_resnet().state_dict())
    assert report.taken == ()
    assert dict(report.left)["layer1.0.conv1.weight"].startswith("the network has no such tensor")
