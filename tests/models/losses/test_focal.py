import copy
import itertools
import math

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from models.losses import FocalLoss
from models.losses.focal_function import FocalForm
from tests.oracles import naive_focal, slow_focal

FORMS: tuple[FocalForm, ...] = ("linear", "exp", "quality")
GAMMAS = (0.0, 0.25, 0.5, 0.99, 1.0, 1.5, 2.0, 5.0, 10.0)
TAILS = (0.0, 1e-3, 1.0, 8.4, 16.7, 32.1, 88.0, 104.0, 120.0, 1e3, 1e4)


def elementwise(
    gamma: float,
    alpha: float | None = None,
    form: FocalForm = "linear",
    pos_weight: float | None = None,
) -> FocalLoss:
    weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float64)
    loss = nn.BCEWithLogitsLoss(reduction="none", pos_weight=weight)
    return FocalLoss(loss, gamma, alpha, form=form)


def value_and_slope(loss: nn.Module, x: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().clone().requires_grad_()
    values = loss(x, t)
    (slope,) = torch.autograd.grad(values.sum(), x)
    return values.detach(), slope


def double(value: float) -> Tensor:
    return torch.tensor([value], dtype=torch.float64)


def samples(count: int = 300, *, hard: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(count, generator=generator, dtype=torch.float64) * 4
    t = torch.rand(count, generator=generator, dtype=torch.float64)
    return x, t.round() if hard else t


# --- the wrapper ---------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize(("gamma", "alpha"), [(0, None), (0, 0.25), (1.5, 0.25)])
def test_it_reduces_as_the_wrapped_loss_and_leaves_it_alone(
    reduction: str, gamma: float, alpha: float | None
) -> None:
    x, t = samples()
    wrapped = nn.BCEWithLogitsLoss(reduction=reduction, pos_weight=torch.tensor(1.5).double())
    before = copy.deepcopy(wrapped)
    loss = FocalLoss(wrapped, gamma, alpha)
    got = loss(x, t)
    parts = naive_focal(x, t, gamma=gamma, alpha=alpha, form="linear", pos_weight=1.5)
    expected = {"mean": parts.mean(), "sum": parts.sum(), "none": parts}[reduction]
    torch.testing.assert_close(got, expected)
    assert loss.reduction == wrapped.reduction == before.reduction
    assert torch.equal(wrapped(x, t), before(x, t))


def test_the_defaults_are_the_published_ones() -> None:
    loss = FocalLoss(nn.BCEWithLogitsLoss())
    assert (loss.gamma, loss.alpha, loss.form, loss.reduction) == (1.5, 0.25, "linear", "mean")
    assert "gamma=1.5, alpha=0.25, form=linear" in repr(loss)


class _OtherArithmetic(nn.BCEWithLogitsLoss):
    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return super().forward(input, target) * 2


@pytest.mark.parametrize(
    "wrong",
    [
        nn.BCELoss(),
        nn.CrossEntropyLoss(),
        nn.BCEWithLogitsLoss,
        F.binary_cross_entropy_with_logits,
        _OtherArithmetic(),
        FocalLoss(nn.BCEWithLogitsLoss()),
        None,
    ],
    ids=["BCELoss", "CE", "the class", "a function", "a subclass", "itself", "None"],
)
def test_anything_but_bce_with_logits_is_refused(wrong: object) -> None:
    with pytest.raises(TypeError, match=r"FocalLoss wraps nn\.BCEWithLogitsLoss"):
        FocalLoss(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gamma": -0.1}, r"gamma must be in \[0, 10\], got -0.1"),
        ({"gamma": 10.5}, "got 10.5"),
        ({"gamma": float("nan")}, "got nan"),
        ({"alpha": 1.01}, r"alpha must be in \[0, 1\] or None, got 1.01"),
        ({"alpha": float("nan")}, "got nan"),
        ({"form": "qfl"}, "form must be linear, exp or quality, got 'qfl'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FocalLoss(nn.BCEWithLogitsLoss(), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_targets_of_another_shape_are_refused(gamma: float) -> None:
    with pytest.raises(ValueError, match=r"targets \(1, 3\) must have the shape of logits \(3,\)"):
        elementwise(gamma)(torch.zeros(3), torch.zeros(1, 3))


def test_the_weight_of_the_wrapped_loss_counts() -> None:
    x, t = samples(6)
    x, t = x.view(2, 3), t.view(2, 3)
    weight = torch.tensor([1.0, 0.0, 3.0], dtype=torch.float64)
    loss = FocalLoss(nn.BCEWithLogitsLoss(weight=weight), 2.0, 0.25)
    parts = naive_focal(x, t, gamma=2, alpha=0.25, form="linear")
    torch.testing.assert_close(loss(x, t), (parts * weight).mean())


@pytest.mark.parametrize("form", FORMS)
def test_pos_weight_may_differ_per_class(form: FocalForm) -> None:
    x, t = samples(12)
    x, t = x.view(4, 3), t.view(4, 3)
    weights = [0.5, 1.0, 4.0]
    loss = FocalLoss(
        nn.BCEWithLogitsLoss(pos_weight=torch.tensor(weights).double(), reduction="none"),
        2,
        None,
        form=form,
    )
    for column, weight in enumerate(weights):
        expected = elementwise(2.0, None, form, weight)(x[:, column], t[:, column])
        torch.testing.assert_close(loss(x, t)[:, column], expected)


# --- values and slopes ---------------------------------------------------------------------------


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


@given(
    x=st.floats(-600, 600),
    t=st.sampled_from([0.0, 1.0]) | st.floats(0, 1),
    gamma=st.floats(0.05, 10),
    alpha=st.floats(0, 1),
)
def test_the_linear_form_is_the_log_space_formula_far_into_the_tails(
    x: float, t: float, gamma: float, alpha: float
) -> None:
    got = elementwise(gamma, alpha)(double(x), double(t))
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


# --- identities ----------------------------------------------------------------------------------


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


@given(x=st.floats(-50, 50), t=st.floats(0, 1), gamma=st.floats(0.1, 10))
def test_gamma_never_raises_a_loss(x: float, t: float, gamma: float) -> None:
    logits, targets = double(x), double(t)
    bce = max(x, 0) - x * t + math.log1p(math.exp(-abs(x)))
    for form in FORMS:
        loss = elementwise(gamma, None, form)(logits, targets).item()
        assert 0 <= loss <= bce * (1 + 1e-12)


@given(x=st.floats(-1e4, 1e4), t=st.floats(0, 1), gamma=st.floats(0.1, 10))
def test_swapping_the_classes_changes_nothing_without_alpha(
    x: float, t: float, gamma: float
) -> None:
    logits, targets = double(x), double(t)
    for form in FORMS:
        values, slope = value_and_slope(elementwise(gamma, None, form), logits, targets)
        mirrored, mirrored_slope = value_and_slope(
            elementwise(gamma, None, form), -logits, 1 - targets
        )
        torch.testing.assert_close(values, mirrored, rtol=1e-6, atol=1e-12)
        if gamma >= 1 or abs(torch.sigmoid(logits) - targets).item() > 1e-6:
            torch.testing.assert_close(slope, -mirrored_slope, rtol=1e-6, atol=1e-12)


# --- shapes, types, autograd ---------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (2, 0), (5,), (2, 3, 4)])
@pytest.mark.parametrize("gamma", [0.0, 1.5])
def test_any_shape_keeps_its_shape(shape: tuple[int, ...], gamma: float) -> None:
    x = torch.zeros(shape, requires_grad=True)
    values = elementwise(gamma)(x, torch.ones(shape))
    assert values.shape == shape
    values.sum().backward()
    assert x.grad is not None
    assert x.grad.shape == shape


def test_blocks_and_strides_do_not_show() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(130, 1100, generator=generator)  # more than two blocks
    t = torch.rand(130, 1100, generator=generator)
    values, slope = value_and_slope(elementwise(1.5, 0.25, "quality", 2.0), x, t)
    for row in (0, 59, 60, 129):
        alone, alone_slope = value_and_slope(elementwise(1.5, 0.25, "quality", 2.0), x[row], t[row])
        torch.testing.assert_close(values[row], alone)
        torch.testing.assert_close(slope[row], alone_slope)
    turned, turned_slope = value_and_slope(elementwise(1.5, 0.25, "quality", 2.0), x.T, t.T)
    torch.testing.assert_close(values, turned.T)
    torch.testing.assert_close(slope, turned_slope.T)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("gamma", "alpha"), [(0.0, None), (0.0, 0.25), (2.0, 0.25)])
def test_half_precision_is_computed_in_float32(
    dtype: torch.dtype, gamma: float, alpha: float | None
) -> None:
    x = torch.tensor([9.0, -9.0, 20.0, 0.5], dtype=dtype, requires_grad=True)
    t = torch.tensor([1.0, 0.0, 1.0, 0.3])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = elementwise(gamma, alpha)(x, t)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values, elementwise(gamma, alpha)(x.detach().float(), t))
    values.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype


def test_double_precision_stays_double() -> None:
    assert elementwise(1.5)(torch.zeros(2).double(), torch.zeros(2)).dtype == torch.float64


@pytest.mark.parametrize("gamma", [0.0, 1.5])
def test_no_gradient_reaches_the_targets(gamma: float) -> None:
    x, t = torch.zeros(3, requires_grad=True), torch.full((3,), 0.5, requires_grad=True)
    elementwise(gamma, 0.25)(x, t).sum().backward()
    assert x.grad is not None
    assert t.grad is None


def test_the_upstream_gradient_multiplies_element_by_element() -> None:
    x, t = samples(5)
    _, slope = value_and_slope(elementwise(2.0), x, t)
    leaf = x.clone().requires_grad_()
    upstream = torch.arange(5.0).double()
    elementwise(2.0)(leaf, t).backward(upstream)
    torch.testing.assert_close(leaf.grad, slope * upstream)


def test_inputs_are_left_as_they_were() -> None:
    x, t = samples(9)
    kept = x.clone(), t.clone()
    elementwise(2.0, 0.25, "exp", 3.0)(x, t)
    assert torch.equal(x, kept[0])
    assert torch.equal(t, kept[1])


def test_it_follows_the_module_to_another_type() -> None:
    loss = FocalLoss(nn.BCEWithLogitsLoss(pos_weight=torch.ones(2)), 2.0).to(torch.float64)
    assert loss.loss.pos_weight is not None
    assert loss.loss.pos_weight.dtype == torch.float64
    assert copy.deepcopy(loss).state_dict().keys() == {"loss.pos_weight"}
