"""Losses of matched boxes, and the overlap that the objectness target takes from them.

Legend: M matches. Boxes are xyxy in cells of their level; anchors (M, 2) width and height in cells,
1 and 1 for a head without anchors.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch's own documentation uses
from torch import Tensor, nn

from utils.structures.iou import OverlapKind, box_overlap, overlap_parts


class OverlapLoss(nn.Module):
    """1 - overlap."""

    def __init__(self, kind: OverlapKind) -> None:
        super().__init__()
        self.kind: OverlapKind = kind

    def forward(self, boxes: Tensor, truths: Tensor, anchors: Tensor) -> Tensor:
        """Return the loss (M,) of boxes (M, 4) against ground truth (M, 4)."""
        return 1 - box_overlap(boxes, truths, self.kind)


class AlphaOverlapLoss(nn.Module):
    """1 - IoU^alpha plus each penalty of the overlap to the power alpha.

    alpha above 1 weighs boxes that fit well. He et al. 2021, arXiv:2110.13675.
    """

    def __init__(self, kind: OverlapKind, *, alpha: float) -> None:
        super().__init__()
        self.kind: OverlapKind = kind
        self.alpha = alpha

    def forward(self, boxes: Tensor, truths: Tensor, anchors: Tensor) -> Tensor:
        """Return the loss (M,) of boxes (M, 4) against ground truth (M, 4)."""
        iou, penalties = overlap_parts(boxes, truths, self.kind)
        loss = 1 - _power(iou, self.alpha)
        for penalty in penalties:
            loss = loss + _power(penalty, self.alpha)
        return loss


class FocalEiouLoss(nn.Module):
    """IoU^gamma times the EIoU loss: boxes that already fit count more.

    Zhang et al. 2021, arXiv:2101.08158, section 4. Ours: no gradient through the weight.
    As published, a box that does not overlap its ground truth has no loss and no gradient (unless
    gamma is 0).
    """

    kind: OverlapKind = "eiou"

    def __init__(self, *, gamma: float) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, boxes: Tensor, truths: Tensor, anchors: Tensor) -> Tensor:
        """Return the loss (M,) of boxes (M, 4) against ground truth (M, 4)."""
        weight = box_overlap(boxes, truths, "iou").detach().pow(self.gamma)
        return weight * (1 - box_overlap(boxes, truths, "eiou"))


class SmoothL1Loss(nn.Module):
    """Smooth L1 loss of boxes in the coding of R-CNN, summed over the four values.

    Centre offsets are in units of the anchor's sides, sides are the logarithm of their ratio; the
    coding of the head does not matter. Girshick 2015, arXiv:1504.08083; quadratic below `beta`.
    """

    kind: OverlapKind = "iou"

    def __init__(self, *, beta: float) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, boxes: Tensor, truths: Tensor, anchors: Tensor) -> Tensor:
        """Return the loss (M,) of boxes (M, 4) against ground truth (M, 4)."""
        shift = (boxes[:, :2] + boxes[:, 2:] - truths[:, :2] - truths[:, 2:]) / 2 / anchors
        growth = _log_size(boxes) - _log_size(truths)
        difference = torch.cat((shift, growth), dim=1)
        zeros = torch.zeros_like(difference)
        return F.smooth_l1_loss(difference, zeros, reduction="none", beta=self.beta).sum(dim=1)


def _power(values: Tensor, exponent: float) -> Tensor:
    """Return values (M,) from 0 to the power; the floor keeps its slope finite at 0."""
    return values.clamp(min=1e-7).pow(exponent)


def _log_size(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).clamp(min=1e-6).log()
