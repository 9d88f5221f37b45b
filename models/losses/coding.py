"""Losses of box regression output before it is decoded.

Legend: M matches, N bins of a distribution.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch's own documentation uses
from torch import Tensor, nn

_BELOW_LAST = 0.01
"""Margin of targets below the last bin, as published: there is always a next bin."""


def distribution_focal_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Return cross-entropy to both neighbours -(k + 1 - y) log p_k - (y - k) log p_(k + 1), (...).

    p is the softmax of logits (..., N), y the target (...,) cut to 0 to N - 1.01, k its whole part.
    The mean of the best distribution is y. Li et al. 2020, arXiv 2006.04388, section 3.2.
    """
    y = targets.clamp(0, logits.shape[-1] - 1 - _BELOW_LAST)
    lower = y.floor()
    # Bins first: over eight neighbours a softmax takes six times as long on a CPU.
    log_p = logits.movedim(-1, 0).contiguous().log_softmax(dim=0)
    first = lower.long()[None]
    below, above = (log_p.gather(0, first + step).squeeze(0) for step in (0, 1))
    return -(lower + 1 - y) * below - (y - lower) * above


class DistributionLoss(nn.Module):
    """Distribution focal loss of the four sides of a box, their mean."""

    def forward(self, coded: Tensor, codes: Tensor) -> Tensor:
        """Return the loss (M,) of coded (M, 4 N) against the distances codes (M, 4) in cells."""
        return distribution_focal_loss(coded.unflatten(-1, (4, -1)), codes).mean(dim=-1)


class CodingL1Loss(nn.Module):
    """Sum of the four absolute differences between coded values and those of the ground truth.

    The last epochs of YOLOX (Ge et al. 2021, arXiv 2107.08430) add it. `is_on` is 1 where it
    counts; a buffer, so that a resumed training continues with it.

    Args:
        first_epoch: from 0; before it the loss is 0.
    """

    is_on: Tensor

    def __init__(self, *, first_epoch: int = 0) -> None:
        super().__init__()
        self.first_epoch = first_epoch
        self.register_buffer("is_on", torch.tensor(float(first_epoch <= 0)))

    def begin_epoch(self, epoch: int) -> None:
        """Count from `first_epoch` on."""
        self.is_on.fill_(float(epoch >= self.first_epoch))

    def forward(self, coded: Tensor, codes: Tensor) -> Tensor:
        """Return the loss (M,) of coded (M, 4) against codes (M, 4)."""
        return F.l1_loss(coded, codes, reduction="none").sum(dim=-1) * self.is_on
