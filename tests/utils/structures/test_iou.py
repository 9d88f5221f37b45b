import math
from functools import partial

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor
from torchvision.ops import box_iou

from tests.models.losses.slow_boxes import eiou, siou
from tests.oracles import slow_overlap
from utils.structures.iou import OverlapKind, box_overlap, pairwise_iou

KINDS: tuple[OverlapKind, ...] = ("iou", "giou", "diou", "ciou", "eiou", "siou")
seeds = st.integers(0, 2**16)


def random_boxes(count: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.rand(count, 2, generator=generator, dtype=dtype) * 20
    size = torch.rand(count, 2, generator=generator, dtype=dtype) * 15 + 0.5
    return torch.cat((corner, corner + size), dim=1)


def from_centre(*cxcywh: float) -> Tensor:
    x, y, w, h = cxcywh
    return torch.tensor([x - w / 2, y - h / 2, x + w / 2, y + h / 2], dtype=torch.float64)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((5, 5, 4, 4), (6, 6, 4, 4), (0.391304, 0.311304, 0.351304, 0.351304)),
        ((5, 5, 4, 2), (5, 5, 2, 4), (0.333333, 0.083333, 0.333333, 0.299582)),
        ((1, 1, 2, 2), (5, 5, 2, 2), (0, -0.777778, -0.444444, -0.444444)),
    ],
)
def test_published_overlaps(
    a: tuple[float, ...], b: tuple[float, ...], expected: tuple[float, ...]
) -> None:
    got = [box_overlap(from_centre(*a), from_centre(*b), kind).item() for kind in KINDS[:4]]
    assert got == pytest.approx(expected, abs=6e-7)


@pytest.mark.slow
@given(n=st.integers(0, 6), m=st.integers(0, 6), seed=seeds)
def test_pairwise_iou_is_the_slow_one_for_every_pair(n: int, m: int, seed: int) -> None:
    a, b = random_boxes(n, seed), random_boxes(m, seed + 1)
    slow = [[slow_overlap(p, q, "iou") for q in b.tolist()] for p in a.tolist()]
    expected = torch.tensor(slow, dtype=torch.float64).view(n, m)
    torch.testing.assert_close(pairwise_iou(a, b), expected)
    torch.testing.assert_close(pairwise_iou(a, b), box_iou(a, b))


@given(n=st.integers(0, 6), seed=seeds, kind=st.sampled_from(KINDS))
@example(n=6, seed=10068, kind="siou")  # one centre nearly straight above the other
def test_box_overlap_is_the_slow_one(n: int, seed: int, kind: OverlapKind) -> None:
    a, b = random_boxes(n, seed), random_boxes(n, seed + 1)
    slow = {"eiou": eiou, "siou": siou}.get(kind, partial(slow_overlap, kind=kind))
    expected = [slow(p, q) for p, q in zip(a.tolist(), b.tolist(), strict=True)]
    got = box_overlap(a, b, kind)
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64), atol=2e-6, rtol=0)


@given(seed=seeds, kind=st.sampled_from(KINDS), shift=st.floats(-9, 9), scale=st.floats(0.5, 50))
def test_overlap_is_symmetric_and_ignores_translation_and_scale(
    seed: int, kind: OverlapKind, shift: float, scale: float
) -> None:
    a, b = random_boxes(4, seed), random_boxes(4, seed + 1)
    overlap = box_overlap(a, b, kind)
    torch.testing.assert_close(overlap, box_overlap(b, a, kind), atol=1e-12, rtol=0)
    moved = box_overlap(a * scale + shift, b * scale + shift, kind)
    torch.testing.assert_close(overlap, moved, atol=3e-6, rtol=0)


def test_batched_pairs_keep_their_leading_dimensions() -> None:
    a, b = random_boxes(6, 0).view(2, 3, 4), random_boxes(8, 1).view(2, 4, 4)
    assert pairwise_iou(a, b).shape == (2, 3, 4)
    torch.testing.assert_close(pairwise_iou(a, b)[1], pairwise_iou(a[1], b[1]))


def test_pairs_without_area_overlap_by_zero() -> None:
    point, inverted = torch.tensor([[3.0, 3, 3, 3]]), torch.tensor([[5.0, 5, 2, 2]])
    box = torch.tensor([[0.0, 0, 4, 4]])
    for other in (point, inverted, box):
        assert pairwise_iou(point, other).item() == 0
        assert pairwise_iou(inverted, other).item() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_identical_boxes_overlap_fully(kind: OverlapKind) -> None:
    boxes = random_boxes(5, 3)
    torch.testing.assert_close(
        box_overlap(boxes, boxes, kind), torch.ones(5).double(), atol=1e-6, rtol=0
    )


DEGENERATE = {
    "point on itself": ((3, 3, 3, 3), (3, 3, 3, 3)),
    "point elsewhere": ((3, 3, 3, 3), (7, 9, 7, 9)),
    "line": ((0, 0, 5, 0), (0, 0, 5, 4)),
    "upright line": ((2, 0, 2, 5), (0, 0, 5, 4)),
    "inverted": ((5, 5, 1, 1), (0, 0, 4, 4)),
    "far away": ((0, 0, 1, 1), (1e5, 1e5, 1e5 + 1, 1e5 + 1)),
    "identical": ((1, 2, 3, 4), (1, 2, 3, 4)),
    "thin and long": ((0, 0, 1e4, 1e-4), (0, 0, 1e-4, 1e4)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", DEGENERATE)
def test_values_and_gradients_are_finite_without_area(kind: OverlapKind, case: str) -> None:
    a, b = (torch.tensor([box], dtype=torch.float32) for box in DEGENERATE[case])
    a.requires_grad_()
    overlap = box_overlap(a, b, kind)
    overlap.sum().backward()
    assert overlap.isfinite().all()
    assert -3 <= overlap.item() <= 1
    assert a.grad is not None
    assert a.grad.isfinite().all()


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "eiou", "siou"])
def test_gradients_are_those_of_the_values(kind: OverlapKind) -> None:
    a, b = random_boxes(6, 11).requires_grad_(), random_boxes(6, 12)
    assert torch.autograd.gradcheck(lambda boxes: box_overlap(boxes, b, kind), (a,))


def test_the_weight_of_the_aspect_penalty_has_no_gradient() -> None:
    wide = torch.tensor([3.0, 4.0, 7.0, 6.0], dtype=torch.float64, requires_grad=True)
    tall = torch.tensor([4.0, 3.0, 6.0, 7.0], dtype=torch.float64)
    difference, weight = 0.167826, 0.201111  # v and alpha of the published pair
    (whole,) = torch.autograd.grad(box_overlap(wide, tall, "ciou"), wide)
    (without,) = torch.autograd.grad(box_overlap(wide, tall, "diou"), wide)
    angle_gap = math.atan(0.5) - math.atan(2.0)
    assert 4 / math.pi**2 * angle_gap**2 == pytest.approx(difference, abs=1e-6)
    # d atan(w / h) / d w = h / (w^2 + h^2); the right edge moves w one to one.
    slope_of_difference = 4 / math.pi**2 * 2 * angle_gap * -(2 / (4**2 + 2**2))
    expected = -weight * slope_of_difference
    assert (whole - without)[2].item() == pytest.approx(expected, rel=1e-5)
