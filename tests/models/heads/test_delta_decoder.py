import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torchvision.models.detection._utils import BoxCoder

from models.heads.retina import LARGEST_GROWTH, DeltaDecoder

CELLS = torch.tensor([[0.0, 0.0], [3.0, 1.0], [7.0, 9.0]])
ANCHORS = torch.tensor([[32.0, 32.0], [45.0, 22.0], [10.0, 80.0]])


def anchor_boxes(stride: float) -> torch.Tensor:
    centers = (CELLS + 0.5) * stride
    return torch.cat((centers - ANCHORS / 2, centers + ANCHORS / 2), dim=1)


def test_zeros_decode_to_the_anchor() -> None:
    boxes = DeltaDecoder().boxes(torch.zeros(3, 4), CELLS, ANCHORS, 8)
    assert torch.equal(boxes, anchor_boxes(8))


@given(seed=st.integers(0, 2**16), stride=st.sampled_from([1.0, 8.0, 128.0]))
def test_decoding_is_that_of_torchvision(seed: int, stride: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    deltas = torch.randn(3, 4, generator=generator)
    deltas[:, 2:] *= 3  # some beyond the largest growth
    coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
    boxes = DeltaDecoder().boxes(deltas, CELLS, ANCHORS, stride)
    torch.testing.assert_close(boxes, coder.decode_single(deltas, anchor_boxes(stride)))


@given(
    x=st.floats(-50, 400),
    y=st.floats(-50, 400),
    width=st.floats(0.5, 500),
    height=st.floats(0.5, 500),
)
def test_what_torchvision_encodes_is_decoded(
    x: float, y: float, width: float, height: float
) -> None:
    box = torch.tensor([x, y, x + width, y + height]).expand(3, 4)
    deltas = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0)).encode_single(box, anchor_boxes(8))
    torch.testing.assert_close(
        DeltaDecoder().boxes(deltas, CELLS, ANCHORS, 8), box, rtol=1e-4, atol=1e-3
    )


def test_growth_is_limited_and_shrinking_is_not() -> None:
    deltas = torch.tensor([[0.0, 0.0, 99.0, -9.0]]).expand(3, 4)
    boxes = DeltaDecoder().boxes(deltas, CELLS, ANCHORS, 8)
    sizes = boxes[:, 2:] - boxes[:, :2]
    torch.testing.assert_close(sizes[:, 0], ANCHORS[:, 0] * 1000 / 16)
    torch.testing.assert_close(sizes[:, 1], ANCHORS[:, 1] * math.exp(-9), rtol=1e-2, atol=0)
    assert math.exp(LARGEST_GROWTH) == pytest.approx(62.5)
