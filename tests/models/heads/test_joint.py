"""The anchor-free heads: how they code boxes, how they start, how large they are."""

import math
from typing import Any

import pytest
import torch

from configs.errors import ConfigError
from configs.heads import distribution_bins
from models.detector import Detector, build_detector, init_weights
from models.heads import joint
from models.heads.joint import DistanceDecoder, Joint, _mean_bins
from models.heads.priors import Priors, cell_biases
from models.heads.yolox import YOLOX, ShiftDecoder
from tests.models.factories import tiny_graph
from utils.structures.decoder import Encoder


def detector_with(*arguments: Any, head: str = "Joint", num_classes: int = 3) -> Detector:
    rows = [[-1, 1, "Conv", [16, 3, 2]], [[2, 3], 1, head, ["nc", *arguments]]]
    graph = tiny_graph(head=rows)
    del graph["anchors"]
    torch.manual_seed(0)
    return build_detector(graph, num_classes=num_classes)


DECODERS: dict[str, DistanceDecoder | ShiftDecoder] = {
    "exp": DistanceDecoder(),
    "linear": DistanceDecoder(is_linear=True),
    "corner": DistanceDecoder(is_linear=True, offset=0.0),
    "yolox": ShiftDecoder(),
}


@pytest.mark.parametrize("name", DECODERS)
def test_encoding_is_the_inverse_of_decoding(name: str) -> None:
    decoder = DECODERS[name]
    assert isinstance(decoder, Encoder)
    generator = torch.Generator().manual_seed(1)
    coded = torch.rand(200, 4, generator=generator, dtype=torch.float64) * 3 + 0.1
    boxes = decoder.boxes(coded, torch.zeros(()), None, 1)
    torch.testing.assert_close(decoder.encode(boxes), coded, rtol=1e-6, atol=1e-6)
    again = decoder.boxes(decoder.encode(boxes), torch.zeros(()), None, 1)
    torch.testing.assert_close(again, boxes, rtol=1e-6, atol=1e-6)


def test_a_distribution_is_decoded_to_its_mean() -> None:
    decoder = DistanceDecoder(bins=4, box_channels=16)
    logits = torch.tensor([0, 1, 2, 0.5]).repeat(4, 1)
    logits[2] = torch.tensor([0.0, 0, 0, 0])
    box = decoder.boxes(logits.flatten(), torch.tensor([3.0, 2.0]), None, 8)
    mean = 1.759364510
    expected = [(3.5 - mean) * 8, (2.5 - mean) * 8, (3.5 + 1.5) * 8, (2.5 + mean) * 8]
    assert box.tolist() == pytest.approx(expected, rel=1e-6)
    cell_box = torch.tensor([[-1.0, -2.0, 1.5, 3.0]])
    assert decoder.encode(cell_box).tolist() == [[1.5, 2.5, 1.0, 2.5]]


@pytest.mark.parametrize("bins", [2, 5, 8, 16, 64])
@pytest.mark.parametrize("is_recorded", [False, True])
def test_means_of_bins_are_those_of_float64(
    bins: int, is_recorded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both orders of the softmax: that of a step, and that of a recorded graph."""
    monkeypatch.setattr(joint, "is_recorded", lambda: is_recorded)
    torch.manual_seed(bins)
    for size in (0.1, 3.0, 1e4):
        logits = torch.randn(3, 1, 5, 7, 4, bins) * size
        exact = logits.double().softmax(-1) @ torch.arange(bins, dtype=torch.float64)
        torch.testing.assert_close(_mean_bins(logits), exact.float(), rtol=0, atol=1e-6 * bins)
    assert _mean_bins(torch.zeros(0, 4, bins)).shape == (0, 4)


def test_yolox_codes_by_hand() -> None:
    """Stride 8, cell (3, 2)."""
    coded = torch.tensor([0.25, -0.5, 0.3, -0.2])
    box = ShiftDecoder().boxes(coded, torch.tensor([3.0, 2.0]), None, 8)
    width, height = 10.798870461, 6.549846025
    expected = [26 - width / 2, 12 - height / 2, 26 + width / 2, 12 + height / 2]
    assert box.tolist() == pytest.approx(expected, rel=1e-6)
    # Centre (20, 30), 16 x 24 px, cell (2, 3).
    in_cell = torch.tensor([20 - 8.0, 30 - 12, 20 + 8, 30 + 12]) / 8
    in_cell -= torch.tensor([2.0, 3, 2, 3])
    codes = ShiftDecoder().encode(in_cell)
    assert codes.tolist() == pytest.approx([0.5, 0.75, 0.693147186, 1.098612292], rel=1e-6)


@pytest.mark.parametrize("decoder", [DistanceDecoder(), ShiftDecoder()])
def test_no_logit_makes_a_box_that_is_not_finite(decoder: Any) -> None:
    coded = torch.full((1, 4), 1e4, requires_grad=True)
    boxes = decoder.boxes(coded, torch.zeros(()), None, 32)
    boxes.sum().backward()
    assert bool(boxes.isfinite().all())
    assert coded.grad is not None
    assert bool(coded.grad.isfinite().all())
    empty = decoder.encode(torch.tensor([[1.0, 1, 1, 1]]))
    assert bool(empty.isfinite().all())


def test_biases_of_cells_by_hand() -> None:
    """5 objects an image; 80 classes at 640 px, 3 at 320."""
    large = cell_biases(Priors(image_size=640), 80, (8, 16, 32))
    expected = [-11.536641992, -10.150347630, -8.764053269]
    assert [float(level[0]) for level in large] == pytest.approx(expected, rel=1e-6)
    small = cell_biases(Priors(image_size=320), 3, (8, 16, 32))
    expected = [-6.866933284, -5.480638923, -4.094344562]
    assert [float(level[2]) for level in small] == pytest.approx(expected, rel=1e-6)


def test_biases_of_cells_follow_the_counts() -> None:
    priors = Priors(class_frequency=[89, 9, 0], objects_per_image=60, image_size=64)
    (level,) = cell_biases(priors, 3, (8,))
    shares = [90 / 101, 10 / 101, 1 / 101]
    expected = [math.log(min(60 * share / 64, 0.5)) for share in shares]
    assert level.tolist() == pytest.approx(expected)
    assert expected[0] == math.log(0.5)
    levels = Priors(objects_per_image=[2.0, 4.0], image_size=64)
    two = cell_biases(levels, 2, (8, 16))
    assert [float(x[0]) for x in two] == pytest.approx([math.log(1 / 64), math.log(2 / 16)])
    assert cell_biases(Priors(has_prior=False), 2, (8,))[0].tolist() == [0, 0]


@pytest.mark.parametrize(
    "priors",
    [
        Priors(class_frequency=[1.0]),
        Priors(class_frequency=[1.0, -1.0, 1.0]),
        Priors(objects_per_image=0.0),
        Priors(objects_per_image=[1.0]),
    ],
)
def test_counts_that_do_not_fit_are_refused(priors: Priors) -> None:
    with pytest.raises(ValueError, match="must be"):
        cell_biases(priors, 3, (8, 16))


@pytest.mark.parametrize(("coding", "start"), [("exp", math.log(2)), ("linear", 2.0), (8, 0.0)])
def test_the_head_starts_with_boxes_of_some_cells(coding: Any, start: float) -> None:
    detector = detector_with(coding)
    init_weights(detector, Priors(image_size=64))
    head = detector.head
    assert isinstance(head, Joint)
    for box, classes, stride in zip(head.box_outputs, head.class_outputs, (4, 8), strict=True):
        assert bool((box.bias == start).all())  # type: ignore[union-attr]
        expected = math.log(5 / 3 / (64 / stride) ** 2)
        assert classes.bias.tolist() == pytest.approx([expected] * 3)  # type: ignore[union-attr, operator]


def test_yolox_starts_at_one_percent_or_at_what_was_counted() -> None:
    detector = detector_with(16, head="YOLOX")
    head = detector.head
    assert isinstance(head, YOLOX)

    def biases(priors: Priors) -> list[float]:
        init_weights(detector, priors)
        layers = (head.obj_preds[0], head.obj_preds[1], head.cls_preds[0])
        return [layer.bias[0].item() for layer in layers]  # type: ignore[index]

    assert biases(Priors()) == pytest.approx([-4.595119850] * 3)
    assert biases(Priors(has_prior=False)) == [0, 0, 0]
    counted = Priors(objects_per_image=4, image_size=64, class_frequency=[1, 1, 1])
    expected = [math.log(4 / 256), math.log(4 / 64), math.log((1 / 3) / (2 / 3))]
    assert biases(counted) == pytest.approx(expected)


def test_widths_follow_the_channels() -> None:
    small, stated = detector_with(8).head, detector_with(8, 24, 40).head
    full, nano = detector_with(8, None, None, True).head, detector_with(16, True, head="YOLOX").head
    plain = detector_with("exp").head
    assert [h.box_outputs[0].in_channels for h in (small, stated, plain)] == [32, 24, 16]  # type: ignore[index, union-attr]
    assert stated.class_outputs[1].in_channels == 40  # type: ignore[index, union-attr]
    towers = [head.class_towers.parameters() for head in (small, full)]  # type: ignore[union-attr, operator]
    count = [sum(p.numel() for p in tower) for tower in towers]
    assert count[1] > 1.5 * count[0]
    assert any(name.startswith("cls_convs.0.0.dconv.") for name in nano.state_dict())
    assert "cls_convs.0.0.conv.weight" in detector_with(16, head="YOLOX").head.state_dict()


@pytest.mark.parametrize(
    ("head", "arguments"),
    [
        ("Joint", (1,)),
        ("Joint", (65,)),
        ("Joint", (True,)),
        ("Joint", ("nearest",)),
        ("Joint", (8, -1)),
        ("Joint", (8, 5000)),
        ("YOLOX", (0,)),
        ("YOLOX", (5000,)),
    ],
)
def test_arguments_out_of_range_are_one_line(head: str, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(ConfigError, match=rf"row 4 \({head}\)") as caught:
        detector_with(*arguments, head=head)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "bins"), [((), 8), ((5,), 5), (("exp",), 0), (("linear",), 0)]
)
def test_what_the_configuration_knows_is_what_is_built(
    arguments: tuple[Any, ...], bins: int
) -> None:
    rows = [[-1, 1, "Conv", [16, 3, 2]], [[2, 3], 1, "Joint", ["nc", *arguments]]]
    assert distribution_bins(tiny_graph(head=rows)) == bins
    decoder = detector_with(*arguments).head.decoder
    assert isinstance(decoder, DistanceDecoder)
    assert decoder.bins == bins
    assert distribution_bins(tiny_graph()) == 0
    assert distribution_bins({"head": [[[1], 1, "Joint"]]}) == 8


def test_linear_distances_never_invert_a_box_and_learn_as_if_uncut() -> None:
    decoder = DistanceDecoder(is_linear=True, offset=0.0)
    coded = torch.tensor([[-3.0, 1.0, 1.0, 2.0]], requires_grad=True)
    box = decoder.boxes(coded, torch.tensor([[4.0, 4.0]]), None, 2)
    assert box.tolist() == [[14.0, 6.0, 14.0, 12.0]]
    box.sum().backward()
    assert coded.grad is not None
    assert coded.grad.tolist() == [[-2.0, -2.0, 2.0, 2.0]]


def test_groups_of_the_box_tower_keep_the_sides_apart() -> None:
    head = detector_with(16, 64, 24, True, 4).head.eval()
    feature = torch.randn(1, 8, 4, 4)
    tower = head.box_towers[0][0](feature).detach().requires_grad_()
    boxes = head.box_outputs[0](head.box_towers[0][1](tower))
    boxes[:, :16].sum().backward()
    assert bool(tower.grad[:, :16].abs().sum() > 0)
    assert not tower.grad[:, 16:].any()
    assert head.class_outputs[0].weight.shape == (3, 24, 1, 1)


def test_levels_share_convolutions_but_not_norms() -> None:
    rows = [[-1, 1, "Conv", [8, 3, 2]], [[2, 3], 1, "SharedJoint", ["nc", "linear", 12]]]
    graph = {key: value for key, value in tiny_graph(head=rows).items() if key != "anchors"}
    head = build_detector(graph, num_classes=3).head
    names = dict(head.named_parameters())
    assert names["box_tower.convolutions.0.weight"].shape == (12, 8, 3, 3)
    assert {"class_tower.norms.0.1.weight", "class_tower.norms.1.1.weight"} <= names.keys()
    assert names["class_outputs.1.weight"].shape == (3, 12, 1, 1)
    assert head.decoder.offset == 0.0
    with torch.no_grad():
        for tower in (head.box_tower, head.class_tower):
            tower.norms[1].load_state_dict(tower.norms[0].state_dict())
        for outputs in (head.box_outputs, head.class_outputs):
            outputs[1].load_state_dict(outputs[0].state_dict())
        feature = torch.randn(1, 8, 4, 4)
        first, second = head.eval()(feature, feature)
    torch.testing.assert_close(first, second)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [(["nc", 8], "must be exp or linear"), (["nc", "exp", 0], "width must be 1 to")],
)
def test_shared_towers_refuse_what_they_cannot_do(arguments: list[Any], words: str) -> None:
    rows = [[-1, 1, "Conv", [8, 3, 2]], [[2, 3], 1, "SharedJoint", arguments]]
    graph = {key: value for key, value in tiny_graph(head=rows).items() if key != "anchors"}
    with pytest.raises(ConfigError, match=words):
        build_detector(graph, num_classes=3)
