"""`BlurLoss`: cross-entropy that forgives confident positives without a label."""

import torch
from torch import Tensor

from models.losses.fused import Odds, SigmoidLoss


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
