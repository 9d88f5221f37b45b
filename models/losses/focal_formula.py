"""The arithmetic of the focal family: loss and slope of every element in one pass.

The module that people use, with its checks and reductions, is `focal.py`.

Everything is written in z = exp(-|x|), the odds of the outcome that the logit x speaks against, so
no step subtracts nearly equal numbers or divides by a number that can vanish. That gives what
SPEC 2A.1 asks of log space (values and slopes finite and exact in the tails, where the textbook
formula has 0 * inf) without its logarithms.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

FocalForm = Literal["linear", "exp", "quality"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FocalFormula:
    """Loss and slope for `FusedFunction`: alpha_t * miss^gamma * BCE.

    gamma in [0, 10], alpha in [0, 1] or None for no weighting. What differs by class comes as an
    operand instead; `operands` names them in their order: gamma, alpha, pos_weight.
    """

    form: FocalForm
    gamma: float = 0.0
    alpha: float | None = None
    operands: tuple[str, ...] = ()

    def __call__(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x, both of the shape of x."""
        given = dict(zip(self.operands, operands, strict=True))
        gamma = given.get("gamma", self.gamma)
        alpha = given.get("alpha", self.alpha)
        # A floor on z lets ratios such as z / (s z) reach their limit where exp underflows.
        z = x.abs().neg_().exp_().clamp_(min=torch.finfo(x.dtype).tiny)
        towards_positive = x >= 0
        s = torch.where(towards_positive, t, 1 - t)  # target weight of the outcome x speaks for
        r = torch.where(towards_positive, 1 - t, t)  # and of the other: s + r = 1
        sign = torch.where(towards_positive, 1.0, -1.0).to(x.dtype)
        error = (r - s * z) / (1 + z)  # sign * (p - t)
        log_term = z.log1p()
        bce = x.abs() * r + log_term
        miss, log_slope = _miss(self.form, z=z, s=s, r=r, error=error, bce=bce)
        bce_slope = sign * error
        if "pos_weight" in given:
            extra = (given["pos_weight"] - 1) * t
            bce = bce + extra * (log_term + (-x).clamp_(min=0))
            bce_slope = bce_slope - extra * torch.where(towards_positive, z, 1.0) / (1 + z)
        factor = miss.pow(gamma)
        if alpha is not None:
            factor = factor * (t * alpha + (1 - t) * (1 - alpha))
        slope = factor * (bce_slope + gamma * (sign * log_slope) * bce)
        return factor * bce, slope


def _miss(
    form: FocalForm, *, z: Tensor, s: Tensor, r: Tensor, error: Tensor, bce: Tensor
) -> tuple[Tensor, Tensor]:
    """Return by how much the prediction misses, and sign(x) * d log(miss) / d x; both as z.

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
