"""Section `loss`: the terms of the training loss, each chosen by name."""

from typing import Literal

from pydantic import Field

from configs.schema.box_loss import BoxLoss, OverlapBoxLoss
from configs.schema.branch_loss import BceLoss, Objectness
from configs.schema.class_loss import Classification
from configs.schema.model import AnchorRatioAssigner, Assigner
from configs.schema.settings import Settings


class LossSettings(Settings):
    """Assigner and the three terms of the loss."""

    assigner: Assigner = AnchorRatioAssigner()
    """How ground-truth boxes are assigned to anchors."""

    box: BoxLoss = OverlapBoxLoss()
    """Box term, over cells assigned to a target."""

    objectness: Objectness = BceLoss(gain=1.0)
    """Objectness term, over all cells; null with a Retina head, which has none."""

    classification: Classification = BceLoss(gain=0.5)
    """Class term, over assigned cells, absent with a single class; with a Retina head over all
    cells, with its gain unscaled."""

    level_balance: tuple[float, ...] | None = None
    """Weight of each level's objectness, fine to coarse; null: 4, 1, 0.4 for three levels, else
    4, 1, 0.25, 0.06, 0.02 as far as there are levels."""

    budget_interval: int = Field(default=50, ge=0)
    """Measure every this many batches, from the first of each epoch, where the loss and its
    gradient come from (budget.csv, report); 0 never. Does not change training."""

    claimed_twice: Literal["best", "last"] = "best"
    """Objectness target of a cell that several targets claim: the best overlap, or the last one
    written (as YOLOv5; depends on the order of labels)."""
