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
    """Which cells answer for which target."""

    box: BoxLoss = OverlapBoxLoss()
    """Box term, over matched cells."""

    objectness: Objectness = BceLoss(gain=1.0)
    """Objectness term, over all cells; null with a Retina head, which has none."""

    classification: Classification = BceLoss(gain=0.5)
    """Class term, over matched cells and absent with a single class; with a Retina head over all
    cells, its gain as it stands."""

    level_balance: tuple[float, ...] | None = None
    """Weight of each level's objectness, fine to coarse; null: 4, 1, 0.4 for three levels, else
    4, 1, 0.25, 0.06, 0.02 as far as there are levels."""

    budget_interval: int = Field(default=50, ge=0)
    """Batches from one measurement of where the loss and its gradient come from (budget.csv,
    report) to the next, from the first of each epoch on; 0 measures nothing. Changes no weight."""

    claimed_twice: Literal["best", "last"] = "best"
    """Objectness target of a cell that several targets claim: the best overlap, or the last one
    written (as YOLOv5; depends on the order of labels)."""
