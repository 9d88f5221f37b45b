import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn
from torchvision.models.detection._utils import BoxCoder

from models.losses.box import AlphaOverlapLoss, FocalEiouLoss, OverlapLoss, SmoothL1Loss
from tests.models.losses.slow_boxes import alpha_iou_loss, eiou, iou
from tests.utils.structures.test_iou import DEGENERATE, random_boxes
from utils.structures.iou import OverlapKind, box_overlap

KINDS: tuple[OverlapKind, ...] = ("iou", "giou", "diou", "ciou", "eiou", "siou")
ANCHORS = torch.tensor([[4.0, 7.0]]).double()
LOSSES: dict[str, nn.Module] = {
    **{kind: OverlapLoss(kind) for kind in KINDS},
    **{
        f"alpha {alpha} {kind}": AlphaOverlapLoss(kind, alpha=alpha)
        for alpha in (0.5, 1.0, 3.0)
        for kind in KINDS[:4]
    },
    "focal eiou": FocalEiouLoss(gamma=0.5),
    "focal eiou 0": FocalEiouLoss(gamma=0.0),
    "smooth l1": SmoothL1Loss(beta=0.11),
}


def pairs(count: int = 12) -> tuple[Tensor, Tensor, Tensor]:
    boxes, truths = random_boxes(count, 1), random_boxes(count, 2)
    truths[::2] = boxes[::2] + torch.linspace(0, 2, 4 * len(truths[::2])).view(-1, 4)
    return boxes, truths, ANCHORS.expand(count, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_an_overlap_loss_is_one_minus_the_overlap(kind: OverlapKind) -> None:
    boxes, truths, anchors = pairs()
    got = OverlapLoss(kind)(boxes, truths, anchors)
    assert torch.equal(got, 1 - box_overlap(boxes, truths, kind))


@pytest.mark.parametrize("kind", KINDS[:4])
@pytest.mark.parametrize("alpha", [0.5, 1.0, 2.0, 3.0])
def test_alpha_iou_is_the_slow_one(kind: OverlapKind, alpha: float) -> None:
    boxes, truths, anchors = pairs()
    boxes, truths = boxes * 100, truths * 100  # our 1e-7 in each denominator is then no matter
    expected = [
        alpha_iou_loss(a, b, kind, alpha)
        for a, b in zip(boxes.tolist(), truths.tolist(), strict=True)
    ]
    got = AlphaOverlapLoss(kind, alpha=alpha)(boxes, truths, anchors)
    # The floor of 1e-7 under every part weighs most at small exponents.
    tolerance = 2 * 1e-7**alpha + 1e-9
    torch.testing.assert_close(got, torch.tensor(expected).double(), rtol=1e-6, atol=tolerance)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_eiou_is_the_slow_one(gamma: float) -> None:
    boxes, truths, anchors = pairs()
    expected = [
        iou(a, b) ** gamma * (1 - eiou(a, b))
        for a, b in zip(boxes.tolist(), truths.tolist(), strict=True)
    ]
    got = FocalEiouLoss(gamma=gamma)(boxes, truths, anchors)
    torch.testing.assert_close(got, torch.tensor(expected).double(), rtol=1e-6, atol=1e-7)


def test_the_weight_of_focal_eiou_has_no_gradient() -> None:
    boxes, truths, anchors = pairs()
    leaf = boxes.clone().requires_grad_()
    (plain,) = torch.autograd.grad(OverlapLoss("eiou")(leaf, truths, anchors).sum(), leaf)
    (got,) = torch.autograd.grad(FocalEiouLoss(gamma=0.5)(leaf, truths, anchors).sum(), leaf)
    torch.testing.assert_close(got, plain * box_overlap(boxes, truths, "iou").sqrt()[:, None])


@pytest.mark.parametrize("beta", [0.01, 1 / 9, 1.0])
def test_smooth_l1_is_torchs_on_the_coding_of_r_cnn(beta: float) -> None:
    boxes, truths, anchors = pairs()
    # The prior box may lie anywhere: only differences of codes count.
    priors = torch.cat((torch.full_like(anchors, 3.0), 3 + anchors), dim=1)
    coder = BoxCoder(weights=(1.0, 1.0, 1.0, 1.0))
    codes = [coder.encode_single(part, priors) for part in (boxes, truths)]
    expected = F.smooth_l1_loss(codes[0], codes[1], beta=beta, reduction="none").sum(dim=1)
    got = SmoothL1Loss(beta=beta)(boxes, truths, anchors)
    torch.testing.assert_close(got, expected)


# The weight of ciou and of focal eiou has no gradient: those are compared above and in test_iou.
SMOOTH = [name for name in LOSSES if "ciou" not in name and name != "focal eiou"]


@pytest.mark.parametrize("name", SMOOTH)
def test_slopes_are_those_of_the_values(name: str) -> None:
    boxes, truths, anchors = pairs()
    boxes, truths = boxes[1::2], truths[1::2] + 1e-3
    assert torch.autograd.gradcheck(
        lambda leaf: LOSSES[name](leaf, truths, anchors[1::2]), (boxes.requires_grad_(),)
    )


def test_focal_eiou_says_nothing_of_boxes_apart() -> None:
    box = torch.tensor([[0.0, 0, 1, 1]], requires_grad=True)
    loss = FocalEiouLoss(gamma=0.5)(box, torch.tensor([[5.0, 5, 6, 6]]), torch.ones(1, 2))
    (slope,) = torch.autograd.grad(loss.sum(), box)
    assert loss.item() == 0
    assert not slope.any()


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"focal eiou"}))
def test_identical_boxes_cost_next_to_nothing_and_all_others_more(name: str) -> None:
    boxes, truths, anchors = pairs()
    same = LOSSES[name](boxes, boxes, anchors)
    assert same.abs().max() < (2e-3 if "0.5" in name else 1e-6)
    assert (LOSSES[name](boxes, truths + 0.5, anchors) >= same).all()


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("case", DEGENERATE)
def test_values_and_slopes_are_finite_without_area(name: str, case: str) -> None:
    boxes, truths = (torch.tensor([box], dtype=torch.float32) for box in DEGENERATE[case])
    leaf = boxes.requires_grad_()
    loss = LOSSES[name](leaf, truths, torch.ones(1, 2))
    (slope,) = torch.autograd.grad(loss.sum(), leaf)
    assert loss.isfinite().all()
    assert slope.isfinite().all()


@pytest.mark.parametrize("name", LOSSES)
def test_no_box_costs_nothing(name: str) -> None:
    empty = torch.zeros(0, 4, requires_grad=True)
    loss = LOSSES[name](empty, torch.zeros(0, 4), torch.zeros(0, 2))
    assert loss.shape == (0,)
    (slope,) = torch.autograd.grad(loss.sum(), empty)
    assert slope.shape == (0, 4)


def test_alpha_above_one_weighs_boxes_that_fit() -> None:
    truth = torch.tensor([[0.0, 0, 10, 10]]).double()
    slopes = []
    for shift in (0.5, 6.0):
        box = (truth + torch.tensor([[0, 0, -shift, 0]])).requires_grad_()
        ratio = [
            torch.autograd.grad(loss(box, truth, ANCHORS).sum(), box)[0][0, 2]
            for loss in (AlphaOverlapLoss("iou", alpha=3), OverlapLoss("iou"))
        ]
        slopes.append((ratio[0] / ratio[1]).item())
    assert slopes == pytest.approx([3 * 0.95**2, 3 * 0.4**2], rel=1e-6)
