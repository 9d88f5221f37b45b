import pytest
import torch
from torch import nn
from torchvision.models.detection import retinanet_resnet50_fpn

from configs.errors import ConfigError
from configs.schema.evaluation import EvalSettings
from models.detector import Detector, build_detector, init_weights
from models.heads import Retina
from models.inference.fusion import fuse
from models.inference.inference import Inference
from models.weights.checkpoint import checkpoint_metadata, detector_from_checkpoint
from tests.models.factories import randomise_norms, read_graph, tiny_graph
from utils.structures.batch import Batch, Targets


def retina_graph(*arguments: object, **changes: object) -> dict[str, object]:
    """Two levels, strides 4 and 8, with a head of width 8 and depth 2."""
    head = [
        [-1, 1, "Conv", [8, 3, 2]],
        [[2, 3], 1, "Retina", ["nc", "anchors", *(arguments or (8, 2, True))]],
    ]
    return tiny_graph(head=head, **{"anchors": 3, **changes})


def tiny_retina(*arguments: object, **changes: object) -> Detector:
    torch.manual_seed(0)
    return build_detector(retina_graph(*arguments, **changes), num_classes=3)


@pytest.mark.parametrize("num_classes", [91, 20])
def test_as_many_parameters_as_torchvision_has(num_classes: int) -> None:
    with torch.device("meta"):
        theirs = retinanet_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=num_classes
        ).parameters()
        ours = build_detector(read_graph("retinanet-r50"), num_classes=num_classes).parameters()
    assert sum(map(torch.Tensor.numel, ours)) == sum(map(torch.Tensor.numel, theirs))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["retinanet-csp-n", "retinanet-r18", "retinanet-r50"])
def test_shipped_graphs_have_levels_p3_to_p7_of_nine_anchors(name: str) -> None:
    detector = build_detector(read_graph(name), num_classes=3).eval()
    assert detector.strides == (8, 16, 32, 64, 128)
    assert detector.size_multiple == 32
    assert detector.anchors.shape == (5, 9, 2)
    with torch.no_grad():
        predictions = detector(torch.rand(1, 3, 96, 160))
    cells = [(12, 20), (6, 10), (3, 5), (2, 3), (1, 2)]
    assert [level.shape for level in predictions.levels] == [(1, 9, *cell, 7) for cell in cells]
    assert not predictions.has_objectness
    assert predictions.num_classes == 3


def test_published_anchors() -> None:
    level = torch.tensor(Retina.default_anchors((8,), 9))[0]
    areas = level.prod(dim=1).sqrt().view(3, 3)
    sizes = torch.tensor([32, 32 * 2 ** (1 / 3), 32 * 2 ** (2 / 3)])
    torch.testing.assert_close(areas, sizes[:, None].expand(3, 3))
    ratios = (level[:, 1] / level[:, 0]).view(3, 3)
    torch.testing.assert_close(ratios, torch.tensor([0.5, 1.0, 2.0]).expand(3, 3))


def test_anchors_of_one_size_and_of_other_levels() -> None:
    (fine, coarse) = Retina.default_anchors((4, 8), 3)
    assert fine[1] == pytest.approx((16, 16))
    assert coarse == tuple((2 * width, 2 * height) for width, height in fine)


def test_a_count_that_is_no_multiple_of_three_is_refused() -> None:
    with pytest.raises(ConfigError, match="anchors: Retina has 3 shapes per size; 4 is not"):
        tiny_retina(anchors=4)


def test_levels_share_the_convolutions_but_not_the_statistics() -> None:
    head = tiny_retina().head
    assert isinstance(head, Retina)
    alone = Retina([8], 8, 2, True, num_classes=3, num_anchors=3)
    ours, theirs = (len(module.convolutions()) for module in (head, alone))
    assert ours == theirs == 2 * (2 + 1)
    norms = [module for module in head.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == 2 * 2 * 2


def test_equal_maps_give_equal_output_on_every_level_without_norms() -> None:
    head = Retina([8, 8], 8, 2, num_classes=3, num_anchors=3)
    features = torch.rand(1, 8, 4, 4)
    first, second = head(features, features)
    assert torch.equal(first, second)


def test_output_is_box_then_classes_anchor_by_anchor() -> None:
    head = Retina([8], 8, 1, num_classes=2, num_anchors=3)
    for parameter in head.parameters():
        nn.init.zeros_(parameter)
    head.box_output.bias.data = torch.arange(12.0)
    head.class_output.bias.data = torch.arange(20.0, 26.0)
    (raw,) = head(torch.zeros(1, 8, 2, 3))
    assert raw.shape == (1, 3, 2, 3, 6)
    assert raw[0, 1, 1, 2].tolist() == [4, 5, 6, 7, 22, 23]


def test_zero_deltas_decode_to_anchors_in_cell_centres() -> None:
    detector = tiny_retina()
    for convolution in detector.head.convolutions():  # type: ignore[operator]
        for parameter in convolution.parameters():
            nn.init.zeros_(parameter)
    decoded = detector.eval()(torch.rand(1, 3, 16, 24)).decode()
    expected = []
    for stride, anchors in zip((4, 8), detector.anchors.tolist(), strict=True):
        for width, height in anchors:
            for row in range(16 // stride):
                for column in range(24 // stride):
                    x, y = (column + 0.5) * stride, (row + 0.5) * stride
                    expected.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    torch.testing.assert_close(decoded.boxes[0], torch.tensor(expected))
    assert decoded.objectness.unique().tolist() == [1.0]
    assert decoded.class_scores.unique().tolist() == [0.5]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [((8, 2, True, 1), "up to 3 more"), ((0,), "width and depth"), ((8, 0), "width and depth")],
)
def test_wrong_arguments_name_the_row(arguments: tuple[object, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"graph, row 4 \(Retina\): .*{message}"):
        tiny_retina(*arguments)


def test_levels_of_unequal_width_name_the_row() -> None:
    graph = retina_graph()
    graph["head"][0][3][0] = 16  # type: ignore[index]
    with pytest.raises(ConfigError, match=r"row 4 \(Retina\): .*equally many channels, got 8, 16"):
        build_detector(graph, num_classes=3)


def test_gradient_reaches_every_parameter() -> None:
    detector = tiny_retina()
    predictions = detector(torch.rand(2, 3, 16, 16))
    sum(level.square().sum() for level in predictions.levels).backward()
    assert all(
        parameter.grad is not None and bool(parameter.grad.any())
        for parameter in detector.parameters()
    )


@pytest.mark.parametrize("has_norm", [True, False])
def test_fused_detector_gives_the_same_output(has_norm: bool) -> None:
    detector = tiny_retina(8, 2, has_norm).eval()
    randomise_norms(detector)
    images = torch.rand(2, 3, 16, 24)
    for ours, reference in zip(fuse(detector)(images).levels, detector(images).levels, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-5)


def test_a_checkpoint_rebuilds_the_detector() -> None:
    detector = tiny_retina()
    randomise_norms(detector)
    detector.set_anchors(detector.anchors * 1.5)
    detector.eval()
    metadata = checkpoint_metadata(detector, ["a", "b", "c"], 64)
    rebuilt = detector_from_checkpoint(detector.state_dict(), metadata)
    images = torch.rand(1, 3, 16, 24)
    ours, theirs = rebuilt(images).decode(), detector(images).decode()
    assert torch.equal(ours.boxes, theirs.boxes)
    assert torch.equal(ours.class_scores, theirs.class_scores)


def test_inference_scores_are_the_class_scores() -> None:
    detector = tiny_retina()
    init_weights(detector)
    randomise_norms(detector)
    images = torch.randint(0, 256, (2, 3, 16, 24), dtype=torch.uint8)
    nobody = torch.zeros(0, dtype=torch.int64)
    batch = Batch(
        images=images.contiguous(memory_format=torch.channels_last),
        targets=Targets(boxes=torch.zeros(0, 4), labels=nobody, image_index=nobody),
        metas=(None, None),  # type: ignore[arg-type]
    )
    found = Inference(detector, EvalSettings(), fused=False)(batch).detections
    decoded = detector.eval()(batch.pixels()).decode()
    for image, detections in enumerate(found):
        assert len(detections.scores)
        assert detections.scores[0] == decoded.class_scores[image].max()
