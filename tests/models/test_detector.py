import pytest
import torch

from models.detector import build_detector, order_anchors
from models.heads import Detect
from tests.models.factories import tiny_detector, tiny_graph


def test_zero_logits_decode_to_anchors_in_cell_centres() -> None:
    detector = tiny_detector()
    for convolution in detector.head.convolutions():
        torch.nn.init.zeros_(convolution.weight)
        torch.nn.init.zeros_(convolution.bias)
    decoded = detector(torch.rand(1, 3, 16, 24)).decode()
    expected = []
    for stride, anchors in zip((4, 8), detector.anchors.tolist(), strict=True):
        for width, height in anchors:
            for row in range(16 // stride):
                for column in range(24 // stride):
                    cx, cy = (column + 0.5) * stride, (row + 0.5) * stride
                    half_w, half_h = width / 2, height / 2
                    expected.append([cx - half_w, cy - half_h, cx + half_w, cy + half_h])
    torch.testing.assert_close(decoded.boxes[0], torch.tensor(expected))
    assert decoded.objectness.unique().tolist() == decoded.class_scores.unique().tolist() == [0.5]


def test_raw_output_is_split_anchor_major() -> None:
    head = Detect([1], num_classes=1, num_anchors=2)
    torch.nn.init.zeros_(head.m[0].weight)
    head.m[0].bias.data = torch.arange(12.0)
    (raw,) = head(torch.zeros(1, 1, 2, 3))
    assert raw.shape == (1, 2, 2, 3, 6)
    assert raw[0, 1, 1, 2].tolist() == [6, 7, 8, 9, 10, 11]


def test_levels_are_views_contiguous_in_channels_last_memory() -> None:
    detector = tiny_detector().to(memory_format=torch.channels_last)
    outputs: list[torch.Tensor] = []
    detector.head.m[0].register_forward_hook(lambda module, args, out: outputs.append(out))
    images = torch.rand(2, 3, 16, 24).contiguous(memory_format=torch.channels_last)
    level = detector(images).levels[0]
    assert level.data_ptr() == outputs[0].data_ptr()
    assert level.stride(-1) == 1


@pytest.mark.parametrize("shape", [(1, 3, 20, 16), (1, 3, 16, 20), (1, 1, 16, 16), (3, 16, 16)])
def test_unfit_images_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"multiples of 8|must be \(B, 3, H, W\)"):
        tiny_detector()(torch.rand(shape))


def test_levels_come_fine_to_coarse_whatever_the_graph_lists() -> None:
    head = [[-1, 1, "Conv", [16, 3, 2]], [[3, 2], 1, "Detect", ["nc", "anchors"]]]
    anchors = [[16, 12, 20, 30], [4, 5, 8, 7]]
    detector = build_detector(tiny_graph(head=head, anchors=anchors), num_classes=3)
    assert detector.strides == (4, 8)
    assert detector.anchors.flatten(1).tolist() == anchors[::-1]
    assert [level.shape[2] for level in detector(torch.rand(1, 3, 16, 16)).levels] == [4, 2]


def test_anchors_against_the_strides_are_reversed() -> None:
    reversed_anchors = [[16, 12, 20, 30], [4, 5, 8, 7]]
    detector = tiny_detector(anchors=reversed_anchors)
    assert detector.anchors.flatten(1).tolist() == reversed_anchors[::-1]
    same = (((2.0, 2.0),), ((2.0, 2.0),))
    assert order_anchors(same) is same


def test_own_anchors_replace_those_of_the_graph_and_may_be_more() -> None:
    own = [[3.5, 4, 5, 6, 7, 8], [30, 40, 50, 60, 70, 80]]
    detector = build_detector(tiny_graph(), num_classes=3, anchors=own)
    assert detector.anchors.flatten(1).tolist() == own
    assert detector.mapping["anchors"] == own
    assert detector(torch.rand(1, 3, 16, 16)).levels[0].shape == (1, 3, 4, 4, 8)


def test_counted_anchors_start_as_squares_that_join_up() -> None:
    detector = tiny_detector(anchors=3)
    torch.testing.assert_close(detector.anchors, torch.tensor(Detect.default_anchors((4, 8), 3)))
    sides = detector.anchors[..., 0].flatten()
    assert torch.equal(detector.anchors[..., 0], detector.anchors[..., 1])
    torch.testing.assert_close(sides[1:] / sides[:-1], torch.full((5,), 2 ** (1 / 3)))
    assert sides[0] == 12


def test_anchors_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"anchors must be \(2, 2, 2\), got \(1, 2, 2\)"):
        tiny_detector().set_anchors(torch.ones(1, 2, 2))


def test_one_seed_gives_one_detector() -> None:
    first, same, other = (tiny_detector(seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(tensor, same[name]) for name, tensor in first.items())
    assert not all(torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_gradient_reaches_every_parameter() -> None:
    detector = tiny_detector()
    predictions = detector(torch.rand(2, 3, 16, 16))
    sum(level.square().sum() for level in predictions.levels).backward()
    assert all(
        parameter.grad is not None and bool(parameter.grad.any())
        for parameter in detector.parameters()
    )


def test_images_of_a_batch_do_not_influence_each_other() -> None:
    detector = tiny_detector().eval()
    images = torch.rand(3, 3, 16, 24)
    together = detector(images).levels[0]
    alone = torch.cat([detector(image[None]).levels[0] for image in images])
    torch.testing.assert_close(together, alone)
