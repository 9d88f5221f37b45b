"""From the `loss` section of a configuration to the criterion it describes."""

import torch
from torch import nn

from configs.errors import ConfigError
from configs.schema.loss import Branch, FocalLossSettings, LossSettings
from models.assign import AnchorRatioAssigner
from models.losses.criterion import DetectionCriterion, Gains, balance_of_levels
from models.losses.focal import FocalLoss


def build_criterion(
    settings: LossSettings, *, num_classes: int, num_levels: int, image_size: int
) -> DetectionCriterion:
    """Return the criterion that `settings` describe, gains scaled as published.

    Args:
        settings: section `loss`.
        num_classes: C of the head.
        num_levels: L of the head.
        image_size: side of the network input in pixels (the longer one if they differ).

    Raises:
        ConfigError: `loss.level_balance` has another number of levels than the model.
    """
    try:
        balance = balance_of_levels(num_levels, settings.level_balance)
    except ValueError as error:
        raise ConfigError(f"loss.{error}; give {num_levels} numbers, fine to coarse") from error
    return DetectionCriterion(
        assigner=AnchorRatioAssigner(max_ratio=settings.assigner.max_ratio),
        objectness=build_branch(settings.objectness),
        classification=build_branch(settings.classification),
        gains=scaled_gains(
            settings, num_classes=num_classes, num_levels=num_levels, image_size=image_size
        ),
        box_overlap=settings.box.name,
        label_smoothing=settings.classification.label_smoothing,
        level_balance=balance,
        claimed_twice=settings.claimed_twice,
    )


def build_branch(settings: Branch) -> nn.Module:
    """Return the loss on logits of one branch, not reduced."""
    weight = None if settings.pos_weight == 1.0 else torch.tensor(settings.pos_weight)
    bce = nn.BCEWithLogitsLoss(pos_weight=weight, reduction="none")
    if isinstance(settings, FocalLossSettings):
        return FocalLoss(bce, gamma=settings.gamma, alpha=settings.alpha, form=settings.form)
    return bce


def scaled_gains(
    settings: LossSettings, *, num_classes: int, num_levels: int, image_size: int
) -> Gains:
    """Return the gains of `settings` scaled to the model, as published (SPEC 2B.7).

    They were tuned on three levels, 80 classes and 640 px: more levels add more terms, fewer
    classes leave less to learn, smaller images have fewer empty cells per object.
    """
    per_level = 3 / num_levels
    return Gains(
        box=settings.box.gain * per_level,
        objectness=settings.objectness.gain * (image_size / 640) ** 2 * per_level,
        classification=settings.classification.gain * (num_classes / 80) * per_level,
    )
