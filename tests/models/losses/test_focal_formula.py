import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.ops import sigmoid_focal_loss

from models.losses import FocalLoss
from models.losses.focal_formula import FocalForm
from tests.models.losses.focal_case import FORMS, elementwise, samples, tensor, value_and_slope
from tests.oracles import naive_focal, slow_focal

GAMMAS = (0.0, 0.25, 0.5, 0.99, 1.0, 1.5, 2.0, 5.0, 10.0)
TAILS = (0.0, 1e-3, 1.0, 8.4, 16.7, 32.1, 88.0, 104.0, 120.0, 1e3, 1e4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pos_weight", [None, 0.4, 3.0])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.25, 1.0])
def test_value_and_slope_are_those_of_the_textbook_formula(
    form: FocalForm, pos_weight: float | None, alpha: float | None
) -> None:
    x, t = samples()
    for gamma in (0.5, 1.0, 1.5, 2.0, 5.0):
        loss = elementwise(gamma, alpha, form, pos_weight)
        values, slope = value_and_slope(loss, x, t)
        leaf = x.clone().requires_grad_()
        expected = naive_focal(
            leaf, t, gamma=gamma, alpha=alpha, form=form, pos_weight=pos_weight or 1.0
        )
        (expected_slope,) = torch.autograd.grad(expected.sum(), leaf)
        torch.testing.assert_close(values, expected.detach(), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(slope, expected_slope, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gamma", GAMMAS)
def test_the_slope_is_the_derivative_of_the_value(form: FocalForm, gamma: float) -> None:
    x, t = samples(40)
    pos_weight = torch.tensor(1.7, dtype=torch.float64)
    loss = FocalLoss(nn.BCEWithLogitsLoss(pos_weight=pos_weight), gamma, 0.3, form=form)
    assert torch.autograd.gradcheck(lambda logits: loss(logits, t), (x.requires_grad_(),))


@pytest.mark.slow
@given(
    x=st.floats(-600, 600),
    t=st.sampled_from([0.0, 1.0]) | st.floats(0, 1),
    gamma=st.floats(0.05, 10),
    alpha=st.floats(0, 1),
)
def test_the_linear_form_is_the_log_space_formula_far_into_the_tails(
    x: float, t: float, gamma: float, alpha: float
) -> None:
    got = elementwise(gamma, alpha)(tensor(x), tensor(t))
    assert got.item() == pytest.approx(slow_focal(x, t, gamma, alpha), rel=1e-8, abs=1e-300)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("gamma", GAMMAS)
def test_value_and_slope_are_finite_at_any_logit(
    form: FocalForm, gamma: float, dtype: torch.dtype
) -> None:
    logits = [sign * x for x in TAILS for sign in (1, -1)]
    targets = [0.0, 1e-30, 1e-7, 0.3, 0.5, 1 - 1e-7, 1.0]
    table = torch.tensor(list(itertools.product(logits, targets)), dtype=dtype)
    for alpha, pos_weight in itertools.product((None, 0.25), (None, 0.3, 5.0)):
        loss = elementwise(gamma, alpha, form, pos_weight)
        values, slope = value_and_slope(loss, table[:, 0], table[:, 1])
        assert values.isfinite().all()
        assert slope.isfinite().all()
        assert (values >= 0).all()


def test_the_textbook_formula_is_not_finite_there() -> None:
    x = torch.tensor([32.1], requires_grad=True)
    naive_focal(x, torch.ones(1), gamma=0.5, alpha=0.25, form="linear").sum().backward()
    assert x.grad is not None
    assert x.grad.isnan().all()


@pytest.mark.parametrize("gamma", [0.25, 0.5, 1.0, 2.0])
def test_a_soft_target_met_exactly_has_slope_zero_in_the_quality_form(gamma: float) -> None:
    x = torch.tensor([0.0, 0.0])
    values, slope = value_and_slope(elementwise(gamma, None, "quality"), x, torch.full((2,), 0.5))
    assert not values.any()
    assert not slope.any()


def test_float32_is_as_exact_as_its_rounding_allows() -> None:
    x, t = samples(2000, hard=True)
    x = (x * 3).float()
    for form in FORMS:
        values, slope = value_and_slope(elementwise(2.0, 0.25, form), x, t.float())
        exact = value_and_slope(elementwise(2.0, 0.25, form), x.double(), t)
        torch.testing.assert_close(values.double(), exact[0], rtol=2e-6, atol=1e-37)
        torch.testing.assert_close(slope.double(), exact[1], rtol=2e-6, atol=1e-37)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("pos_weight", [None, 2.5])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_without_gamma_and_alpha_it_is_bce_bit_for_bit(
    reduction: str, pos_weight: float | None, form: FocalForm, dtype: torch.dtype
) -> None:
    x, t = samples()
    x, t = torch.cat((x, torch.tensor([1e4, -1e4, 0.0]))).to(dtype), F.pad(t, (0, 3)).to(dtype)
    weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=dtype)
    bce = nn.BCEWithLogitsLoss(pos_weight=weight, reduction=reduction)
    got, slope = value_and_slope(FocalLoss(bce, 0, None, form=form), x, t)
    expected, expected_slope = value_and_slope(bce, x, t)
    assert torch.equal(got, expected)
    assert torch.equal(slope, expected_slope)


@pytest.mark.parametrize("form", FORMS)
def test_without_gamma_alpha_one_half_is_half_of_bce(form: FocalForm) -> None:
    x, t = samples()
    half = F.binary_cross_entropy_with_logits(x, t, reduction="none") / 2
    torch.testing.assert_close(elementwise(0.0, 0.5, form)(x, t), half)


@pytest.mark.parametrize("form", FORMS)
def test_it_is_continuous_towards_gamma_zero(form: FocalForm) -> None:
    x, t = samples(hard=True)
    near, near_slope = value_and_slope(elementwise(1e-9, 0.25, form), x, t)
    zero, zero_slope = value_and_slope(elementwise(0.0, 0.25, form), x, t)
    torch.testing.assert_close(near, zero, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(near_slope, zero_slope, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("gamma", [0.5, 1.5, 2.0, 5.0])
@pytest.mark.parametrize("alpha", [None, 0.25, 0.75])
def test_hard_targets_give_torchvisions_loss_in_every_form(
    gamma: float, alpha: float | None
) -> None:
    x, t = samples(hard=True)
    expected = sigmoid_focal_loss(x, t, alpha=-1 if alpha is None else alpha, gamma=gamma)
    for form in FORMS:
        torch.testing.assert_close(elementwise(gamma, alpha, form)(x, t), expected)


@pytest.mark.slow
@given(x=st.floats(-50, 50), t=st.floats(0, 1), gamma=st.floats(0.1, 10))
def test_gamma_never_raises_a_loss(x: float, t: float, gamma: float) -> None:
    logits, targets = tensor(x), tensor(t)
    bce = max(x, 0) - x * t + math.log1p(math.exp(-abs(x)))
    for form in FORMS:
        loss = elementwise(gamma, None, form)(logits, targets).item()
        assert 0 <= loss <= bce * (1 + 1e-12)


@pytest.mark.slow
@settings(max_examples=50)
@given(x=st.floats(-1e4, 1e4), t=st.floats(0, 1), gamma=st.floats(0.1, 10))
def test_swapping_the_classes_changes_nothing_without_alpha(
    x: float, t: float, gamma: float
) -> None:
    logits, targets = tensor(x), tensor(t)
    for form in FORMS:
        values, slope = value_and_slope(elementwise(gamma, None, form), logits, targets)
        mirrored, mirrored_slope = value_and_slope(
            elementwise(gamma, None, form), -logits, 1 - targets
        )
        torch.testing.assert_close(values, mirrored, rtol=1e-6, atol=1e-12)
        if gamma >= 1 or abs(torch.sigmoid(logits) - targets).item() > 1e-6:
            torch.testing.assert_close(slope, -mirrored_slope, rtol=1e-6, atol=1e-12)
