"""From the `loss` section of a configuration to the criterion it describes."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from configs.errors import ConfigError
from configs.schema.branch_loss import BranchLossSettings
from configs.schema.loss import LossSettings
from models.assign import build_assigner
from models.losses.coding import CodingL1Loss, DistributionLoss
from models.losses.criterion.box_term import BoxTerm
from models.losses.criterion.branch import Branch, TargetKind
from models.losses.criterion.catalogue import BOX_LOSSES, BRANCH_LOSSES
from models.losses.criterion.criterion import DetectionCriterion, balance_of_levels
from models.losses.criterion.selection import Selection


def effective_number_weights(counts: Sequence[float], *, beta: float) -> tuple[float, ...]:
    """Return weights (C,) of sum C, inverse to (1 - beta^n) / (1 - beta).

    Cui et al. 2019 (arXiv:1901.05555), section 4. Ours: a class without objects counts as one.

    Args:
        counts: objects of each class in the training split, at least 0.
        beta: in (0, 1); towards 1 the weights become those of inverse frequency.
    """
    inverse = [(1 - beta) / (1 - beta ** max(count, 1)) for count in counts]
    scale = len(inverse) / sum(inverse)
    return tuple(weight * scale for weight in inverse)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """Factor on each term of the loss, applied as it stands: 0 or more."""

    box: float
    objectness: float
    classification: float


def build_criterion(
    settings: LossSettings,
    *,
    num_classes: int,
    num_levels: int,
    image_size: int,
    class_counts: Sequence[float] | None = None,
    first_l1_epoch: int = 0,
) -> DetectionCriterion:
    """Return the criterion that `settings` describe, gains scaled as published.

    Args:
        settings: section `loss`.
        num_classes: C of the head.
        num_levels: L of the head.
        image_size: side of the network input in pixels (the longer one if they differ).
        class_counts: objects of each class in the training split, for `class_balance`.
        first_l1_epoch: epoch from 0 with which the term `l1` begins.

    Raises:
        ConfigError: a list of the section has another length than the model has levels or classes.
    """
    gains = scaled_gains(
        settings, num_classes=num_classes, num_levels=num_levels, image_size=image_size
    )
    box = BoxTerm(
        BOX_LOSSES[type(settings.box)](settings.box),
        gain=gains.box,
        normalizer=settings.box.normalizer,
    )
    return DetectionCriterion(
        assigner=build_assigner(settings.assigner),
        box=box,
        objectness=None
        if settings.objectness is None
        else build_branch(
            settings.objectness,
            gain=gains.objectness,
            num_classes=1,
            target=settings.target_of("objectness") or "iou",
        ),
        classification=build_branch(
            settings.classification,
            gain=gains.classification,
            num_classes=num_classes,
            target=settings.target_of("classification") or "hard",
            class_counts=class_counts,
        ),
        level_balance=None if settings.objectness is None else _level_balance(settings, num_levels),
        claimed_twice=settings.claimed_twice,
        coding=_coding_terms(settings, first_l1_epoch=first_l1_epoch),
    )


def _coding_terms(settings: LossSettings, *, first_l1_epoch: int) -> dict[str, BoxTerm]:
    """Return the terms on coded values by name; they are weighed and divided as boxes are."""
    terms: dict[str, tuple[nn.Module, float]] = {}
    if settings.distribution is not None:
        terms["distribution"] = DistributionLoss(), settings.distribution.gain
    if settings.l1 is not None:
        terms["l1"] = CodingL1Loss(first_epoch=first_l1_epoch), settings.l1.gain
    return {
        name: BoxTerm(loss, gain=gain, normalizer=settings.box.normalizer)
        for name, (loss, gain) in terms.items()
    }


def _level_balance(settings: LossSettings, num_levels: int) -> tuple[float, ...]:
    stated = settings.level_balance
    if stated is None and not settings.assigner.needs_anchors:
        stated = (1.0,) * num_levels
    try:
        return balance_of_levels(num_levels, stated)
    except ValueError as error:
        raise ConfigError(f"loss.{error}; give {num_levels} numbers, fine to coarse") from error


def build_branch(
    settings: BranchLossSettings,
    *,
    gain: float,
    num_classes: int,
    target: TargetKind,
    class_counts: Sequence[float] | None = None,
) -> Branch:
    """Return one term of the loss.

    Args:
        settings: `loss.objectness` or `loss.classification`.
        gain: factor on the term, scaled to the model.
        num_classes: 1 for objectness.
        target: what the target of a match is.
        class_counts: objects of each class, for `class_balance`.
    """
    ohem = settings.ohem
    return Branch(
        BRANCH_LOSSES[type(settings)](settings, num_classes),
        gain=gain,
        normalizer=settings.normalizer,
        selection=None
        if ohem is None
        else Selection(share=ohem.share, negatives_per_positive=ohem.negatives_per_positive),
        class_weights=_class_weights(settings, class_counts),
        label_smoothing=settings.label_smoothing,
        target=target,
    )


def _class_weights(
    settings: BranchLossSettings, class_counts: Sequence[float] | None
) -> Sequence[float] | None:
    if settings.class_balance is None:
        return settings.class_weights
    if class_counts is None:
        raise ConfigError("loss.classification.class_balance: the objects were not counted")
    return effective_number_weights(class_counts, beta=settings.class_balance)


def scaled_gains(
    settings: LossSettings, *, num_classes: int, num_levels: int, image_size: int
) -> Gains:
    """Return the gains of `settings` scaled to the model (docs/recipe_sources.md#loss).

    They were tuned on three levels, 80 classes and 640 px: more levels add more terms, fewer
    classes leave less to learn, smaller images have fewer empty cells per object. Without
    objectness or anchors nothing was published to scale by, and the gains stay as they are.
    """
    if settings.objectness is None or not settings.assigner.needs_anchors:
        return Gains(
            box=settings.box.gain,
            objectness=0.0 if settings.objectness is None else settings.objectness.gain,
            classification=settings.classification.gain,
        )
    per_level = 3 / num_levels
    return Gains(
        box=settings.box.gain * per_level,
        objectness=settings.objectness.gain * (image_size / 640) ** 2 * per_level,
        classification=settings.classification.gain * (num_classes / 80) * per_level,
    )
