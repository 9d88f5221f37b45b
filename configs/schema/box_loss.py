"""Losses of box coordinates."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from configs.schema.settings import ObjectName, Settings


class BoxLossSettings(Settings):
    """Common settings of all box losses."""

    carried: ClassVar[frozenset[str]] = frozenset({"gain", "normalizer"})

    gain: float = Field(default=0.05, ge=0)
    """Weight of the term; scaled by 3 / number of levels."""

    normalizer: Literal["mean", "positives", "targets"] = "mean"
    """mean: by level over its matches, summed over levels (YOLO); positives: the sum over all
    levels divided by the number of matches (RetinaNet); targets: matches weigh their class target
    and the sum is divided by that of the targets (task-aligned heads)."""


class OverlapBoxLossSettings(BoxLossSettings):
    """1 - overlap."""

    name: Literal["iou", "giou", "diou", "ciou", "eiou", "siou"] = "ciou"
    """Overlap that is maximised: iou; giou (adds the empty part of the hull); diou (adds centre
    distance); ciou (adds aspect ratio); eiou (adds width and height); siou (adds direction and
    shape). alpha_iou and focal_eiou are powers of them, smooth_l1 compares coordinates."""


class AlphaIouLossSettings(BoxLossSettings):
    """1 - IoU^alpha plus the penalties of an overlap to the power alpha."""

    name: Literal["alpha_iou"]

    overlap: Literal["iou", "giou", "diou", "ciou"] = "ciou"
    """Overlap whose penalties are added."""

    exponent: float = Field(default=3.0, gt=0, le=10)
    """Exponent; above 1 raises the weight of boxes that already fit."""


class FocalEiouLossSettings(BoxLossSettings):
    """IoU^gamma times the EIoU loss."""

    name: Literal["focal_eiou"]

    exponent: float = Field(default=0.5, ge=0, le=10)
    """Exponent; above 0 raises the weight of boxes that already fit."""


class SmoothL1LossSettings(BoxLossSettings):
    """Smooth L1 of centre shifts in units of the anchor and of log ratios of sides."""

    name: Literal["smooth_l1"]

    beta: float = Field(default=0.11, gt=0)
    """Difference below which the loss is quadratic."""


class CustomBoxLossSettings(BoxLossSettings):
    """A loss of your own, imported from the working directory or what is installed."""

    name: Literal["custom"]

    object: ObjectName
    """Its class: a torch module that takes boxes and ground truth (M, 4) xyxy and anchors (M, 2),
    all in cells, and returns the loss (M,) of each."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """What the class is built with."""


BoxLoss = Annotated[
    OverlapBoxLossSettings
    | AlphaIouLossSettings
    | FocalEiouLossSettings
    | SmoothL1LossSettings
    | CustomBoxLossSettings,
    Field(discriminator="name"),
]


class DistributionLossSettings(Settings):
    """Distribution focal loss, for heads that predict each side of a box as a distribution."""

    name: Literal["dfl"] = "dfl"
    """Cross-entropy to the two bins around the distance; matches are weighed and summed as in
    loss.box."""

    gain: float = Field(default=1.5, ge=0)
    """Weight of the term; as published with loss.box.gain 7.5."""


class CodingL1LossSettings(Settings):
    """L1 loss of the coded box values before they are decoded."""

    gain: float = Field(default=1.0, ge=0)
    """Weight of the term."""

    last_epochs: int | None = Field(default=None, ge=0)
    """The last epochs, which have this term; null: those of augment.close_mosaic, as in YOLOX."""
