"""`AlphaBce`: binary cross-entropy whose positives and negatives have weights of their own."""

from torch import Tensor

from models.losses.fused import Odds, SigmoidLoss


class AlphaBce(SigmoidLoss):
    """(alpha t + (1 - alpha) (1 - t)) * BCE; Lin et al. 2017 (arXiv:1708.02002), section 3.1.

    Minimum at p = t: the weight depends on the target only.
    """

    def __init__(self, *, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def value_and_slope(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x of a block."""
        odds = Odds(x)
        weight = t * self.alpha + (1 - t) * (1 - self.alpha)
        return weight * odds.cross_entropy(t), weight * (odds.p - t)
