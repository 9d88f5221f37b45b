"""From the settings of a loss to the loss: one line each."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from configs.schema import box_loss, branch_loss, class_loss
from models.custom import built
from models.losses.asymmetric import AsymmetricLoss
from models.losses.box import AlphaOverlapLoss, FocalEiouLoss, OverlapLoss, SmoothL1Loss
from models.losses.cross_entropy import AlphaBce, BlurLoss
from models.losses.dice import FocalDiceLoss, SoftmaxFocalDiceLoss
from models.losses.equalized import EqualizedFocalLoss
from models.losses.focal import FocalLoss
from models.losses.focal_variants import FocalStarLoss, ReducedFocalLoss
from models.losses.ghm import GhmLoss
from models.losses.poly import PolyFocalLoss, PolyLoss
from models.losses.softmax import SeesawLoss, SoftmaxLoss
from models.losses.varifocal import VarifocalLoss

Build = Callable[[Any, int], nn.Module]
"""From settings and number of classes (1 for objectness) to a loss that does not reduce."""


def _bce(pos_weight: float = 1.0) -> nn.BCEWithLogitsLoss:
    weight = None if pos_weight == 1.0 else torch.tensor(pos_weight)
    return nn.BCEWithLogitsLoss(pos_weight=weight, reduction="none")


BRANCH_LOSSES: dict[type[branch_loss.BranchLossSettings], Build] = {
    branch_loss.BceLossSettings: lambda s, n: _bce(s.pos_weight),
    branch_loss.AlphaBceLossSettings: lambda s, n: AlphaBce(alpha=s.alpha),
    branch_loss.FocalLossSettings: lambda s, n: FocalLoss(
        _bce(s.pos_weight), s.gamma, s.alpha, form=s.form
    ),
    branch_loss.FocalStarLossSettings: lambda s, n: FocalStarLoss(gamma=s.gamma, beta=s.beta),
    branch_loss.QualityLossSettings: lambda s, n: FocalLoss(
        _bce(), s.beta, s.alpha, form="quality"
    ),
    branch_loss.VarifocalLossSettings: lambda s, n: VarifocalLoss(alpha=s.alpha, gamma=s.gamma),
    branch_loss.GhmLossSettings: lambda s, n: GhmLoss(
        bins=s.bins, momentum=s.momentum, divide_by=s.divide_by
    ),
    branch_loss.AsymmetricLossSettings: lambda s, n: AsymmetricLoss(
        gamma_positive=s.gamma_positive, gamma_negative=s.gamma_negative, margin=s.margin
    ),
    branch_loss.PolyLossSettings: lambda s, n: PolyLoss(epsilon=s.epsilon),
    branch_loss.PolyFocalLossSettings: lambda s, n: PolyFocalLoss(
        gamma=s.gamma, alpha=s.alpha, epsilon=s.epsilon
    ),
    branch_loss.ReducedFocalLossSettings: lambda s, n: ReducedFocalLoss(
        gamma=s.gamma, alpha=s.alpha, threshold=s.threshold
    ),
    branch_loss.EqualizedFocalLossSettings: lambda s, n: EqualizedFocalLoss(
        n, gamma=s.gamma, alpha=s.alpha, scale_factor=s.scale_factor
    ),
    branch_loss.BlurLossSettings: lambda s, n: BlurLoss(temperature=s.temperature),
    branch_loss.CustomLossSettings: lambda s, n: built(s.object, s.arguments),
    class_loss.SoftmaxLossSettings: lambda s, n: SoftmaxLoss(),
    class_loss.SoftmaxFocalLossSettings: lambda s, n: SoftmaxLoss(gamma=s.gamma),
    class_loss.SeesawLossSettings: lambda s, n: SeesawLoss(
        n, mitigation=s.mitigation, compensation=s.compensation
    ),
    class_loss.FocalDiceLossSettings: lambda s, n: FocalDiceLoss(
        gamma=s.gamma, alpha=s.alpha, dice=s.dice
    ),
    class_loss.SoftmaxFocalDiceLossSettings: lambda s, n: SoftmaxFocalDiceLoss(
        gamma=s.gamma, dice=s.dice
    ),
}

BOX_LOSSES: dict[type[box_loss.BoxLossSettings], Callable[[Any], nn.Module]] = {
    box_loss.OverlapBoxLossSettings: lambda s: OverlapLoss(s.name),
    box_loss.AlphaIouLossSettings: lambda s: AlphaOverlapLoss(s.overlap, alpha=s.exponent),
    box_loss.FocalEiouLossSettings: lambda s: FocalEiouLoss(gamma=s.exponent),
    box_loss.SmoothL1LossSettings: lambda s: SmoothL1Loss(beta=s.beta),
    box_loss.CustomBoxLossSettings: lambda s: built(s.object, s.arguments),
}
