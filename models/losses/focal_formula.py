"""The arithmetic of the focal family: loss and derivative of every element in one pass.

The module that people use, with its checks and reductions, is `focal.py`.

Everything is written in p and q = 1 - p, each taken from the logit, and mixed by the target, so no
step subtracts nearly equal numbers or divides by a number that can vanish. Values and slopes are
finite and exact in the tails, where the textbook formula has 0 * inf, without the logarithms of the
usual cure (docs/losses.md#why-fl_gamma-disappointed-you, item 4).
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from models.losses.fused import Odds

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
        odds = Odds(x)
        cross_entropy, error = odds.cross_entropy(t), odds.error(t)
        miss, miss_slope = _miss(self.form, odds, t, cross_entropy=cross_entropy, error=error)
        if "pos_weight" in given:
            extra = (given["pos_weight"] - 1) * t
            cross_entropy = cross_entropy + extra * odds.minus_log_p
            error = error - extra * odds.q
        alpha = given.get("alpha", self.alpha)
        if alpha is not None:
            alpha_t = _alpha_t(t, alpha)
            cross_entropy, error = cross_entropy.mul_(alpha_t), alpha_t.mul_(error)
        gamma = given.get("gamma", self.gamma)
        weight = _power(miss, gamma - 1)
        factor = miss.mul_(weight)
        if isinstance(gamma, Tensor):
            weight, gamma = weight * gamma, 1.0
        slope = error.mul_(factor).addcmul_(miss_slope.mul_(weight), cross_entropy, value=gamma)
        return cross_entropy.mul_(factor), slope


def _miss(
    form: FocalForm, odds: Odds, t: Tensor, *, cross_entropy: Tensor, error: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the modulating base `miss` (1 - p_t in the paper), and d miss / d x.

    `cross_entropy` is that without pos_weight: exp(-pos_weight * ...) is not a probability.
    """
    if form == "linear":
        return odds.miss(t), (-2 * t).add_(1).mul_(odds.p).mul_(odds.q)
    if form == "exp":
        return torch.expm1(-cross_entropy).neg_(), torch.exp(-cross_entropy).mul_(error)
    # At p = t the slope of |t - p|^gamma jumps (gamma <= 1); 0 is the middle of the jump.
    return error.abs(), error.sign().mul_(odds.p).mul_(odds.q)


def _power(miss: Tensor, exponent: float | Tensor) -> Tensor:
    """Return miss^exponent, finite where miss is 0 and the exponent negative."""
    if isinstance(exponent, Tensor) or exponent < 0:
        miss = miss.clamp(min=torch.finfo(miss.dtype).tiny)
    return miss.pow(exponent)


def _alpha_t(t: Tensor, alpha: float | Tensor) -> Tensor:
    """Return alpha t + (1 - alpha) (1 - t)."""
    negative = (1 - t).mul_(1 - alpha)
    if isinstance(alpha, Tensor):
        return negative.addcmul_(t, alpha)
    return negative.add_(t, alpha=alpha)
