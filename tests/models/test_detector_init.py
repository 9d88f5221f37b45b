import math

import pytest
import torch
from torch import Tensor

from models.detector import Detector, build_detector, init_weights
from models.heads import Retina
from models.heads.priors import Priors
from tests.models.factories import read_graph, tiny_detector


def added_biases(detector: Detector, **counts: object) -> list[Tensor]:
    """What `init_weights` adds to torch's own biases, (A, 5 + C) per level."""
    torch.manual_seed(3)
    for convolution in detector.head.convolutions():
        convolution.reset_parameters()
    before = [convolution.bias.detach().clone() for convolution in detector.head.convolutions()]
    torch.manual_seed(3)
    init_weights(detector, Priors(**counts))
    return [
        (convolution.bias.detach() - bias).view(detector.head.num_anchors, -1)
        for convolution, bias in zip(detector.head.convolutions(), before, strict=True)
    ]


def test_published_objectness_priors() -> None:
    with torch.device("cpu"):
        detector = build_detector(read_graph("yolov5n"), num_classes=80)
    added = added_biases(detector)
    objectness = [level[0, 4].item() for level in added]
    assert objectness == pytest.approx([-6.6846, -5.2983, -3.9120], abs=5e-5)
    probabilities = torch.tensor(objectness).sigmoid().tolist()
    assert probabilities == pytest.approx([0.001248, 0.004975, 0.019608], abs=5e-7)
    assert all(not level[:, :4].any() for level in added)


@pytest.mark.parametrize(
    ("num_classes", "prior"), [(80, -4.8803), (20, -3.4553), (3, -1.2040), (2, -0.5108)]
)
def test_published_class_priors(num_classes: int, prior: float) -> None:
    for level in added_biases(tiny_detector(num_classes)):
        assert level[:, 5:].flatten().tolist() == pytest.approx([prior] * 2 * num_classes, abs=5e-5)


def test_a_single_class_starts_as_certain() -> None:
    for counts in (None, [7]):
        level = added_biases(tiny_detector(1), class_frequency=counts)[0]
        assert level[0, 5].item() == pytest.approx(math.log(0.6 / 0.00001), rel=1e-3)


def test_eight_objects_counted_at_640_equal_the_published_prior() -> None:
    detector = tiny_detector()
    published = added_biases(detector)
    counted = added_biases(detector, objects_per_image=8, image_size=640)
    for ours, theirs in zip(counted, published, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_counted_objectness_is_the_share_of_cells_with_an_object() -> None:
    added = added_biases(tiny_detector(), objects_per_image=[2.0, 1.5], image_size=32)
    expected = [math.log(2 / 8**2), math.log(1.5 / 4**2)]
    assert [level[1, 4].item() for level in added] == pytest.approx(expected, rel=1e-5)


def test_crowded_small_images_start_at_one_half_at_most() -> None:
    added = added_biases(tiny_detector(), objects_per_image=1000, image_size=32)
    assert added[0][0, 4].item() == pytest.approx(math.log(0.5))


def test_counted_classes_start_at_their_share() -> None:
    level = added_biases(tiny_detector(), class_frequency=[69, 29, 0])[0]
    scores = level[0, 5:].sigmoid().tolist()
    assert scores == pytest.approx([70 / 101, 30 / 101, 1 / 101], rel=1e-5)


def test_calling_twice_adds_once() -> None:
    detector = tiny_detector()
    init_weights(detector)
    torch.manual_seed(5)
    init_weights(detector)
    twice = detector.head.m[0].bias.clone()
    torch.manual_seed(5)
    init_weights(detector)
    assert torch.equal(detector.head.m[0].bias, twice)


def test_without_prior_every_score_starts_even() -> None:
    detector = tiny_detector()
    drawn = added_biases(detector)
    assert all(level[:, 4:].all() for level in drawn)
    init_weights(detector, Priors(has_prior=False))
    for convolution in detector.head.convolutions():
        bias = convolution.bias.view(2, -1)
        assert bias[:, :4].all()
        assert not bias[:, 4:].any()


def drawn_retina(**arguments: object) -> Retina:
    detector = build_detector(read_graph("retinanet-r18"), num_classes=2)
    torch.manual_seed(1)
    init_weights(detector, Priors(**arguments))
    assert isinstance(detector.head, Retina)
    return detector.head


def test_the_head_without_objectness_is_drawn_as_published() -> None:
    head = drawn_retina()
    for convolution in head.convolutions():
        count = convolution.weight.numel()
        assert abs(convolution.weight.mean().item()) < 5 * 0.01 / math.sqrt(count)
        assert convolution.weight.std().item() == pytest.approx(0.01, rel=5 / math.sqrt(2 * count))
        if convolution is not head.class_output:
            assert not convolution.bias.any()
    assert head.class_output.bias.tolist() == pytest.approx([-math.log(0.99 / 0.01)] * 18)


def test_counted_shares_go_to_the_classes_of_every_anchor() -> None:
    head = drawn_retina(positive_share=[0.002, 0.0])
    scores = head.class_output.bias.sigmoid().view(9, 2)
    assert scores[:, 0].tolist() == pytest.approx([0.002] * 9)
    assert scores[:, 1].tolist() == pytest.approx([1e-6] * 9)


def test_without_prior_the_head_without_objectness_starts_even() -> None:
    assert not drawn_retina(has_prior=False).class_output.bias.any()


@pytest.mark.slow
def test_one_seed_draws_one_head() -> None:
    first, second = drawn_retina().state_dict(), drawn_retina().state_dict()
    assert all(torch.equal(tensor, second[name]) for name, tensor in first.items())


@pytest.mark.parametrize("shares", [[0.1], [0.1, 1.5], [0.1, -0.1]])
def test_impossible_shares_are_refused(shares: list[float]) -> None:
    with pytest.raises(ValueError, match="positive_share must be 2 numbers from 0 to 1"):
        drawn_retina(positive_share=shares)


@pytest.mark.parametrize(
    "counts",
    [
        {"objects_per_image": 0.0},
        {"objects_per_image": [1.0]},
        {"class_frequency": [1, 2]},
        {"class_frequency": [1, 2, -1]},
    ],
)
def test_impossible_counts_are_refused(counts: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        init_weights(tiny_detector(), Priors(**counts))
