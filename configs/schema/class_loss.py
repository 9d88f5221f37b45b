"""Losses of the class branch alone: one softmax over the classes, and dice beside focal loss."""

from typing import Annotated, Literal

from pydantic import Field

from configs.schema.branch_loss import Alpha, BranchLossSettings, ElementwiseLoss


class SoftmaxLossSettings(BranchLossSettings):
    """Cross-entropy of a softmax over the classes; scores are a softmax then, too."""

    over_classes = True
    name: Literal["softmax"]


class SoftmaxFocalLossSettings(BranchLossSettings):
    """(1 - p)^gamma times cross-entropy of a softmax over the classes."""

    over_classes = True
    name: Literal["softmax_focal"]

    gamma: float = Field(default=2.0, ge=0, le=10)
    """Focusing exponent."""


class SeesawLossSettings(BranchLossSettings):
    """Softmax cross-entropy that spares rare classes the push of frequent ones."""

    over_classes = True
    undoes_smoothing = "which looks at the highest target only"
    name: Literal["seesaw"]

    mitigation: float = Field(default=0.8, ge=0)
    """Exponent of the ratio of class counts."""

    compensation: float = Field(default=2.0, ge=0)
    """Exponent of the ratio of scores by which a wrong class counts more."""


class FocalDiceLossSettings(BranchLossSettings):
    """Focal loss of each class plus a soft dice loss of each class."""

    name: Literal["focal_dice"]

    gamma: float = Field(default=2.0, ge=0, le=10)
    """Focusing exponent."""

    alpha: Alpha | None = None
    """Weight of positives, negatives get 1 - alpha; null weights neither."""

    dice: float = Field(default=1.0, ge=0)
    """Weight of the dice part."""


class SoftmaxFocalDiceLossSettings(BranchLossSettings):
    """Focal loss of a softmax over the classes plus a soft dice loss over all of them."""

    over_classes = True
    name: Literal["softmax_focal_dice"]

    gamma: float = Field(default=2.0, ge=0, le=10)
    """Focusing exponent."""

    dice: float = Field(default=1.0, ge=0)
    """Weight of the dice part."""


ClassLoss = (
    ElementwiseLoss
    | SoftmaxLossSettings
    | SoftmaxFocalLossSettings
    | SeesawLossSettings
    | FocalDiceLossSettings
    | SoftmaxFocalDiceLossSettings
)
Classification = Annotated[ClassLoss, Field(discriminator="name")]
