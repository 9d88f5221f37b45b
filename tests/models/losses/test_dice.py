import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from models.losses.dice import FocalDiceLoss, SoftmaxFocalDiceLoss, soft_dice
from tests.models.losses.focal_case import focal
from tests.models.losses.loss_settings import rows
from tests.models.losses.slow_losses import dice, sigmoid, softmax
from tests.models.losses.test_softmax import B11, B11_TARGETS

COUNTED = torch.arange(11) % 3 != 1


def columns(values: Tensor, counted: Tensor) -> list[list[float]]:
    return [list(column) for column in zip(*values[counted].tolist(), strict=True)]


def test_m4_the_articles_example_corrected() -> None:
    loss = SoftmaxFocalDiceLoss(gamma=2, dice=1)
    focal_part = loss(B11, B11_TARGETS).mean().item()
    dice_part = loss.set_term(B11, B11_TARGETS, None).item()
    parts = (focal_part, dice_part, focal_part + dice_part)
    # Printed in float32, which holds them to 3e-8.
    assert parts == pytest.approx((0.09327015, 0.13521367, 0.22848383), abs=4e-8)


def test_m5_focal_of_each_element_and_dice_of_each_class() -> None:
    logits, targets = rows(11, 3, hard=True)
    loss = FocalDiceLoss(gamma=1.5, alpha=0.25, dice=0.7)
    torch.testing.assert_close(loss(logits, targets, COUNTED), focal(1.5, 0.25)(logits, targets))
    per_class = [
        dice([sigmoid(x) for x in scores], wanted)
        for scores, wanted in zip(columns(logits, COUNTED), columns(targets, COUNTED), strict=True)
    ]
    got = loss.set_term(logits, targets, COUNTED).item()
    assert got == pytest.approx(0.7 * sum(per_class) / 3, rel=1e-12)


def test_dice_over_all_entries_of_a_softmax() -> None:
    logits, targets = rows(11, 3)
    scores = [p for row in logits[COUNTED].tolist() for p in softmax(row)]
    expected = dice(scores, targets[COUNTED].flatten().tolist())
    got = SoftmaxFocalDiceLoss(gamma=2, dice=0.5).set_term(logits, targets, COUNTED).item()
    assert got == pytest.approx(0.5 * expected, rel=1e-12)


@pytest.mark.parametrize("per_class", [False, True])
def test_nothing_said_of_nothing_is_perfect(per_class: bool) -> None:
    for count in (0, 4):
        empty = torch.zeros(count, 3)
        assert not soft_dice(empty, empty, None, per_class=per_class).any()
    none = torch.zeros(4, dtype=torch.bool)
    assert not soft_dice(torch.rand(4, 3), torch.ones(4, 3), none, per_class=per_class).any()


def test_rows_that_do_not_count_have_no_gradient() -> None:
    logits, targets = rows(11, 3, hard=True)
    for loss in (
        FocalDiceLoss(gamma=2, alpha=None, dice=1),
        SoftmaxFocalDiceLoss(gamma=2, dice=1),
    ):
        x = logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(loss.set_term(x, targets, COUNTED), x)
        assert not gradient[~COUNTED].any()
        assert gradient[COUNTED].any()


def test_the_slope_of_the_set_term_is_its_derivative() -> None:
    logits, targets = rows(11, 3)
    for loss in (
        FocalDiceLoss(gamma=2, alpha=None, dice=1),
        SoftmaxFocalDiceLoss(gamma=2, dice=1),
    ):
        assert torch.autograd.gradcheck(
            lambda x, loss=loss: loss.set_term(x, targets, COUNTED),
            (logits.clone().requires_grad_(),),
        )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_saturated_logits_are_finite(dtype: torch.dtype) -> None:
    targets = F.one_hot(torch.tensor([0, 1, 2]), 3).float()
    for loss in (
        FocalDiceLoss(gamma=2, alpha=None, dice=1),
        SoftmaxFocalDiceLoss(gamma=2, dice=1),
    ):
        x = torch.tensor([[1e4, -1e4, 0]] * 3).to(dtype).requires_grad_()
        term = loss.set_term(x, targets, None)
        (gradient,) = torch.autograd.grad(term, x)
        assert term.dtype == torch.float32
        assert term.isfinite()
        assert gradient.isfinite().all()
