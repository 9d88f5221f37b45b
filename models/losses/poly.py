"""`PolyLoss` and `PolyFocalLoss`: the first coefficient of the polynomial series adjusted."""

import torch
from torch import Tensor

from models.losses.fused import Odds, SigmoidLoss


class PolyLoss(SigmoidLoss):
    """BCE + epsilon (1 - p_t) with p_t = t p + (1 - t)(1 - p).

    Leng et al. 2022 (arXiv:2204.12511), Poly-1. On soft targets the minimum is not at p = t: the
    added term is linear in p and pushes to 0 or 1.
    """

    def __init__(self, *, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon

    def value_and_slope(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x of a block."""
        odds = Odds(x)
        value = odds.cross_entropy(t) + self.epsilon * odds.miss(t)
        return value, odds.p - t + self.epsilon * (1 - 2 * t) * odds.p * odds.q


class PolyFocalLoss(SigmoidLoss):
    """alpha_t ((1 - p_t)^gamma BCE + epsilon (1 - p_t)^(gamma + 1)).

    Leng et al. 2022 (arXiv:2204.12511), Poly-1 focal loss, alpha_t on both parts. The minimum on
    soft targets is not at p = t, as with the linear form of focal loss.
    """

    def __init__(self, *, gamma: float, alpha: float | None, epsilon: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha
        self.epsilon = epsilon

    def value_and_slope(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x of a block."""
        odds = Odds(x)
        miss, cross_entropy = odds.miss(t), odds.cross_entropy(t)
        weight = miss.pow(self.gamma)
        if self.alpha is not None:
            weight = weight * (t * self.alpha + (1 - t) * (1 - self.alpha))
        # d log(miss) / d x, finite however small miss is: its numerator is p q or less.
        miss_slope = (1 - 2 * t) * odds.p * odds.q
        log_slope = miss_slope / miss.clamp(min=torch.finfo(x.dtype).tiny)
        value = weight * (cross_entropy + self.epsilon * miss)
        slope = weight * (
            self.gamma * log_slope * cross_entropy
            + (odds.p - t)
            + self.epsilon * (self.gamma + 1) * miss_slope
        )
        return value, slope
