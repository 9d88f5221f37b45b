"""`VarifocalLoss`: positives are weighted by their target, negatives by their score."""

import torch
from torch import Tensor

from models.losses.fused import Odds, SigmoidLoss


class VarifocalLoss(SigmoidLoss):
    """t * BCE where t > 0, alpha p^gamma * BCE where t = 0. Minimum at p = t.

    Zhang et al. 2021 (arXiv:2008.13367), section 3.2: t is the IoU of the predicted box; positives
    are never weakened, good ones count more.
    """

    def __init__(self, *, alpha: float, gamma: float) -> None:
        super().__init__()
        self.alpha = alpha
        self.gamma = gamma

    def value_and_slope(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x of a block."""
        odds = Odds(x)
        positive, negative = self._positive(odds, t), self._negative(odds)
        is_positive = t > 0
        return (
            torch.where(is_positive, positive[0], negative[0]),
            torch.where(is_positive, positive[1], negative[1]),
        )

    @staticmethod
    def _positive(odds: Odds, t: Tensor) -> tuple[Tensor, Tensor]:
        return t * odds.cross_entropy(t), t * (odds.p - t)

    def _negative(self, odds: Odds) -> tuple[Tensor, Tensor]:
        weight = self.alpha * odds.p.pow(self.gamma)
        slope = weight * (self.gamma * odds.q * odds.minus_log_q + odds.p)
        return weight * odds.minus_log_q, slope
