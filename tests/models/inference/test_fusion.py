import pytest
import torch
from torch import nn

from models.detector import build_detector
from models.inference.fusion import fuse
from tests.models.factories import randomise_norms, read_graph, tiny_detector, tiny_graph


@pytest.mark.slow
@pytest.mark.parametrize("name", ["yolov5n", "yolov5s-ghost", "yolov5s-transformer"])
def test_fused_detector_gives_the_same_output(name: str) -> None:
    torch.manual_seed(0)
    detector = build_detector(read_graph(name), num_classes=3)
    images = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        detector.train()(images)  # statistics that fit the activations, so that scales stay sane
        expected = detector.eval()(images)
        actual = fuse(detector)(images)
    for level, reference in zip(actual.levels, expected.levels, strict=True):
        torch.testing.assert_close(level, reference, rtol=1e-4, atol=1e-5)


def test_any_statistics_are_folded() -> None:
    detector = tiny_detector().eval()
    randomise_norms(detector)
    images = torch.rand(1, 3, 16, 16)
    expected, actual = detector(images).levels[1], fuse(detector)(images).levels[1]
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)


def test_original_is_untouched() -> None:
    detector = tiny_detector().train()
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    fused = fuse(detector)
    after = detector.state_dict()
    assert list(before) == list(after)
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert detector.training
    assert not fused.training
    norms = [module for module in fused.modules() if isinstance(module, nn.BatchNorm2d)]
    assert not norms


def test_norms_that_no_convolution_precedes_stay() -> None:
    backbone = [[-1, 1, "nn.BatchNorm2d", []], *tiny_graph()["backbone"][1:]]
    head = [[-1, 1, "Conv", [16, 3, 2]], [[2, 3], 1, "Detect", ["nc", "anchors"]]]
    detector = build_detector(tiny_graph(backbone=backbone, head=head), num_classes=3).eval()
    images = torch.rand(1, 3, 16, 16)
    fused = fuse(detector)
    assert isinstance(fused.model[0], nn.BatchNorm2d)
    torch.testing.assert_close(fused(images).levels[0], detector(images).levels[0])


def test_other_activations_are_kept() -> None:
    detector = tiny_detector(activation="nn.ReLU()").eval()
    randomise_norms(detector)
    images = torch.rand(1, 3, 16, 16)
    torch.testing.assert_close(
        fuse(detector)(images).levels[0], detector(images).levels[0], rtol=1e-4, atol=1e-5
    )
