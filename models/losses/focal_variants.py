"""`FocalStarLoss` (the focal paper's second form) and `ReducedFocalLoss`."""

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch's own documentation uses
from torch import Tensor

from models.losses.fused import Odds, SigmoidLoss


class FocalStarLoss(SigmoidLoss):
    """-log sigmoid(gamma x_t + beta) / gamma with x_t = (2 t - 1) x.

    Lin et al. 2017 (arXiv:1708.02002), appendix A: 33.8 AP with gamma 2 and beta 1, 33.9 with 4 and
    0, against 34.0 of focal loss. Meant for hard targets; on a soft one its minimum is at infinity,
    and t = 0.5 learns nothing.
    """

    def __init__(self, *, gamma: float, beta: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.beta = beta

    def value_and_slope(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x of a block."""
        side = 2 * t - 1
        margin = -(self.gamma * side * x + self.beta)
        return F.softplus(margin) / self.gamma, -side * torch.sigmoid(margin)


class ReducedFocalLoss(SigmoidLoss):
    """alpha_t BCE where p_t < threshold, times ((1 - p_t) / (1 - threshold))^gamma elsewhere.

    Sergievskiy and Ponamarev 2019 (arXiv:1903.01347), with threshold 0.5, where the two halves
    meet. Ours: they meet at every threshold, since 1 - threshold stands where the paper has
    threshold. On soft targets the minimum is elsewhere than at the target.
    """

    def __init__(self, *, gamma: float, alpha: float | None, threshold: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha
        self.threshold = threshold

    def value_and_slope(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x of a block."""
        odds = Odds(x)
        miss, cross_entropy = odds.miss(t), odds.cross_entropy(t)
        share = (miss / (1 - self.threshold)).clamp(max=1)
        weight = share.pow(self.gamma)
        if self.alpha is not None:
            weight = weight * (t * self.alpha + (1 - t) * (1 - self.alpha))
        log_slope = (1 - 2 * t) * odds.p * odds.q / miss.clamp(min=torch.finfo(x.dtype).tiny)
        focus = torch.where(share < 1, self.gamma * log_slope * cross_entropy, 0.0)
        return weight * cross_entropy, weight * (focus + odds.p - t)
