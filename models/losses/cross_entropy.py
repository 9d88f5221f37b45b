"""Binary cross-entropy with weights for positives and negatives (`AlphaBce`), and `BlurLoss`."""

import torch
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


class BlurLoss(SigmoidLoss):
    """BCE * (1 - exp((p - t - 1) / (temperature + 1e-4))).

    Near p - t = 1, a confident prediction where the label says nothing, the factor falls to 0: the
    label may be missing. One of YOLOv5's options (docs/losses.md#bce_blur). Minimum at p = t only
    as far as the factor is flat there.
    """

    def __init__(self, *, temperature: float) -> None:
        super().__init__()
        self.width = temperature + 1e-4

    def value_and_slope(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x of a block."""
        odds = Odds(x)
        # p - t - 1 = -(q + t), which is exact where p is close to 1.
        forgiven = torch.exp(-(odds.q + t) / self.width)
        kept = -torch.expm1(-(odds.q + t) / self.width)
        cross_entropy = odds.cross_entropy(t)
        slope = kept * (odds.p - t) - cross_entropy * forgiven * odds.p * odds.q / self.width
        return kept * cross_entropy, slope
