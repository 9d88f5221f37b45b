import copy

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from models.losses import FocalLoss
from models.losses.focal_formula import FocalForm
from tests.models.losses.focal_case import FORMS, elementwise, samples, value_and_slope
from tests.oracles import naive_focal


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
