"""Short ways to make focal losses and to ask for their values and slopes."""

import torch
from torch import Tensor, nn

from models.losses import FocalLoss
from models.losses.focal_formula import FocalForm

FORMS: tuple[FocalForm, ...] = ("linear", "exp", "quality")


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


def samples(count: int = 300, *, hard: bool = False) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(count, generator=generator, dtype=torch.float64) * 4
    t = torch.rand(count, generator=generator, dtype=torch.float64)
    return x, t.round() if hard else t


def tensor(*values: float) -> Tensor:
    """Double precision (n,)."""
    return torch.tensor(values, dtype=torch.float64)


def logit(*probabilities: float) -> Tensor:
    return tensor(*probabilities).logit()


def focal(
    gamma: float, alpha: float | None, form: FocalForm = "linear", reduction: str = "none"
) -> FocalLoss:
    return FocalLoss(nn.BCEWithLogitsLoss(reduction=reduction), gamma, alpha, form=form)


def bce(x: Tensor, t: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(x, t, reduction="none")


def slope(loss: nn.Module, x: Tensor, t: Tensor) -> Tensor:
    return value_and_slope(loss, x, t)[1]
