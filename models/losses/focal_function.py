"""The arithmetic of the focal family: loss and slope of every element in one pass.

The module that people use, with its checks and reductions, is `focal.py`.

Everything is written in z = exp(-|x|), the odds of the outcome that the logit x speaks against, so
no step subtracts nearly equal numbers or divides by a number that can vanish. That gives what
SPEC 2A.1 asks of log space (values and slopes finite and exact in the tails, where the textbook
formula has 0 * inf) without its logarithms.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

FocalForm = Literal["linear", "exp", "quality"]

_BLOCK = 1 << 16
"""Elements treated at a time on a CPU: the temporaries then stay in the cache, which takes half the
time of whole-tensor operations at 4 million elements, and next to no memory beyond the result."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FocalShape:
    """gamma in (0, 10]; alpha in [0, 1] or None for no weighting; form of the modulating factor."""

    gamma: float
    alpha: float | None
    form: FocalForm


class FocalFunction(torch.autograd.Function):
    """Focal loss of logits (...,) against targets (...,) in [0, 1], not reduced.

    Differentiable once, with respect to the logits only.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, pos_weight: Tensor | None, shape: FocalShape
    ) -> Tensor:
        """Return the loss (...,) and keep its slope for the backward pass.

        Args:
            ctx: what autograd carries to `backward`.
            logits: (...,) float32 or float64.
            targets: same shape and dtype, in [0, 1].
            pos_weight: factor on the positive part of the cross-entropy, broadcastable to logits.
            shape: exponent, class weight and form.
        """
        x, t = logits.reshape(-1), targets.reshape(-1)
        weights = None if pos_weight is None else pos_weight.expand_as(logits).reshape(-1)
        loss = torch.empty_like(x)
        slope = torch.empty_like(x) if ctx.needs_input_grad[0] else None
        block = _BLOCK if x.device.type == "cpu" else max(1, x.numel())
        for start in range(0, x.numel(), block):
            part = slice(start, start + block)
            weight = None if weights is None else weights[part]
            loss[part], part_slope = _value_and_slope(x[part], t[part], weight, shape)
            if slope is not None:
                slope[part] = part_slope
        if slope is not None:
            ctx.save_for_backward(slope.view(logits.shape))
        return loss.view(logits.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        """Return upstream (...,) times the kept slope; nothing for targets, weight and shape."""
        (slope,) = ctx.saved_tensors
        return upstream * slope, None, None, None


def _value_and_slope(
    x: Tensor, t: Tensor, pos_weight: Tensor | None, shape: FocalShape
) -> tuple[Tensor, Tensor]:
    """Return loss and d loss / d x, both (n,)."""
    # A floor on z lets ratios such as z / (s z) reach their limit where exp underflows.
    z = x.abs().neg_().exp_().clamp_(min=torch.finfo(x.dtype).tiny)
    towards_positive = x >= 0
    s = torch.where(towards_positive, t, 1 - t)  # target weight of the outcome x speaks for
    r = torch.where(towards_positive, 1 - t, t)  # and of the other: s + r = 1
    sign = torch.where(towards_positive, 1.0, -1.0).to(x.dtype)
    error = (r - s * z) / (1 + z)  # sign * (p - t)
    log_term = z.log1p()
    bce = x.abs() * r + log_term
    miss, log_slope = _miss(shape.form, z=z, s=s, r=r, error=error, bce=bce)
    bce_slope = sign * error
    if pos_weight is not None:
        extra = (pos_weight - 1) * t
        bce = bce + extra * (log_term + (-x).clamp_(min=0))
        bce_slope = bce_slope - extra * torch.where(towards_positive, z, 1.0) / (1 + z)
    factor = miss.pow(shape.gamma)
    if shape.alpha is not None:
        factor = factor * (t * shape.alpha + (1 - t) * (1 - shape.alpha))
    slope = factor * (bce_slope + shape.gamma * (sign * log_slope) * bce)
    return factor * bce, slope


def _miss(
    form: FocalForm, *, z: Tensor, s: Tensor, r: Tensor, error: Tensor, bce: Tensor
) -> tuple[Tensor, Tensor]:
    """Return by how much the prediction misses, and sign(x) * d log(miss) / d x; both (n,).

    `bce` is the cross-entropy without pos_weight: exp(-pos_weight * ...) is no probability.
    """
    if form == "linear":
        mixed = s * z + r
        return mixed / (1 + z), (r - s) * z / ((1 + z) * mixed)
    if form == "exp":
        miss = torch.expm1(-bce).neg_()
        return miss, error * torch.exp(-bce) / miss
    # At p = t the slope of |t - p|^gamma jumps (gamma <= 1); 0 is the middle of the jump.
    log_slope = torch.where(error == 0, 0.0, z / ((1 + z).square() * error))
    return error.abs(), log_slope
