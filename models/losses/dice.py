"""Focal loss with a soft dice loss beside it, for each class or over a softmax."""

import torch
from torch import Tensor, nn

from models.losses.focal import FocalLoss
from models.losses.fused import at_least_float32
from models.losses.softmax import SoftmaxLoss

SMOOTH = 1.0
"""Added to both halves of the dice coefficient: without positives and scores it is perfect."""


class FocalDiceLoss(nn.Module):
    """Focal loss of each logit; beside it, once for the batch, the mean over classes of soft dice.

    dice_c = 1 - (2 sum p t + 1) / (sum p^2 + sum t^2 + 1). A multi-label loss: one sigmoid a class.
    The code that circulates under this name (docs/articles.md#classes, M3) takes a softmax and one
    label a row, measures dice against class numbers and adds it to every element; none of that is
    here.
    """

    needs_counted = True

    def __init__(self, *, gamma: float, alpha: float | None, dice: float) -> None:
        super().__init__()
        self.focal = FocalLoss(nn.BCEWithLogitsLoss(reduction="none"), gamma, alpha, form="quality")
        self.dice = dice

    def forward(self, logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return the focal loss (n, C) of logits (n, C) against targets (n, C) in [0, 1]."""
        losses: Tensor = self.focal(logits, targets)
        return losses

    def set_term(self, logits: Tensor, targets: Tensor, counted: Tensor | None) -> Tensor:
        """Return the dice part of all rows (n, C) that count, a scalar."""
        scores = at_least_float32(logits).sigmoid()
        return self.dice * soft_dice(scores, targets, counted, per_class=True).mean()


class SoftmaxFocalDiceLoss(nn.Module):
    """Focal loss of a softmax; beside it, once for the batch, soft dice over all its entries."""

    over_classes = True
    needs_counted = True

    def __init__(self, *, gamma: float, dice: float) -> None:
        super().__init__()
        self.focal = SoftmaxLoss(gamma=gamma)
        self.dice = dice

    def forward(self, logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return the focal loss (n,) of logits (n, C) against targets (n, C) in [0, 1]."""
        losses: Tensor = self.focal(logits, targets)
        return losses

    def set_term(self, logits: Tensor, targets: Tensor, counted: Tensor | None) -> Tensor:
        """Return the dice part of all rows (n, C) that count, a scalar."""
        scores = at_least_float32(logits).softmax(dim=1)
        return self.dice * soft_dice(scores, targets, counted, per_class=False)


def soft_dice(
    scores: Tensor, targets: Tensor, counted: Tensor | None, *, per_class: bool
) -> Tensor:
    """Return 1 - soft dice of scores and targets (n, C): (C,) by class, or of all as a scalar.

    Milletari et al. 2016 (arXiv:1606.04797) with squares in the denominator.
    """
    if counted is not None:
        scores = torch.where(counted[:, None], scores, 0.0)
        targets = torch.where(counted[:, None], targets, 0.0)
    targets = targets.to(scores.dtype)

    def total(values: Tensor) -> Tensor:
        return values.sum(dim=0) if per_class else values.sum()

    both = 2 * total(scores * targets) + SMOOTH
    return 1 - both / (total(scores.square()) + total(targets.square()) + SMOOTH)
