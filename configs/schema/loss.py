"""Section `loss`: the terms of the training loss, each chosen by name."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from configs.schema.model import AnchorRatioAssigner
from configs.schema.settings import Settings


class BoxLoss(Settings):
    """Loss of the box coordinates: the mean of 1 - IoU over matched cells."""

    name: Literal["iou", "giou", "diou", "ciou"] = "ciou"
    """Overlap that is maximised: iou; giou (adds the empty part of the hull); diou (adds centre
    distance); ciou (adds aspect ratio)."""

    gain: float = Field(default=0.05, ge=0)
    """Weight of the term; scaled by 3 / number of levels."""


class BranchLoss(Settings):
    """What objectness and classification losses share."""

    carried: ClassVar[frozenset[str]] = frozenset({"gain", "label_smoothing"})

    gain: float = Field(default=1.0, ge=0)
    """Weight of the term. Objectness is scaled by (image_size / 640)^2 * 3 / levels, classification
    by classes / 80 * 3 / levels, as published for this recipe."""

    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    """Moves class targets from 0 and 1 to e/2 and 1 - e/2; classification only."""


class BceLoss(BranchLoss):
    """Binary cross-entropy on logits."""

    name: Literal["bce"] = "bce"

    pos_weight: float = Field(default=1.0, gt=0)
    """Factor on the positive part of the loss; below 1 weakens positives, above 1 strengthens
    them."""


class FocalLossSettings(BranchLoss):
    """Binary cross-entropy times a factor that is small where the prediction is already right."""

    name: Literal["focal"]

    gamma: float = Field(ge=0, le=10)
    """Focusing exponent, 0 to 10; 0 is plain BCE, 1.5 to 2 is usual. Must be stated."""

    alpha: float | None = Field(ge=0, le=1)
    """Weight of positives, negatives get 1 - alpha; null weights neither. Must be stated: 0.25,
    the usual value, makes positives three times weaker than negatives."""

    form: Literal["linear", "exp", "quality"] = "quality"
    """How far a prediction p is from a soft target t: linear 1 - (t p + (1-t)(1-p)), as in YOLOv5,
    whose minimum is not at p = t; exp 1 - exp(-BCE); quality |t - p|. All equal on hard targets."""

    pos_weight: float = Field(default=1.0, gt=0)
    """Factor on the positive part of the cross-entropy inside; not together with alpha."""

    @model_validator(mode="after")
    def _one_weight_of_positives(self) -> "FocalLossSettings":
        if self.alpha is not None and self.pos_weight != 1.0:
            raise ValueError(
                "alpha and pos_weight both weight the positives; "
                "set alpha: null or leave pos_weight out"
            )
        return self


Branch = Annotated[BceLoss | FocalLossSettings, Field(discriminator="name")]


class LossSettings(Settings):
    """Assigner and the three terms of the loss."""

    assigner: AnchorRatioAssigner = AnchorRatioAssigner()
    """Which cells answer for which target."""

    box: BoxLoss = BoxLoss()
    """Box term, over matched cells."""

    objectness: Branch = BceLoss(gain=1.0)
    """Objectness term, over all cells; the target of a matched cell is its box's CIoU with the
    truth."""

    classification: Branch = BceLoss(gain=0.5)
    """Class term, over matched cells, one sigmoid a class; absent with a single class."""

    level_balance: tuple[float, ...] | None = None
    """Weight of each level's objectness, fine to coarse; null: 4, 1, 0.4 for three levels, else
    4, 1, 0.25, 0.06, 0.02 as far as there are levels."""

    claimed_twice: Literal["best", "last"] = "best"
    """Objectness target of a cell that several targets claim: the best overlap, or the last one
    written (as YOLOv5; depends on the order of labels)."""
