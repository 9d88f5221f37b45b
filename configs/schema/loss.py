"""Section `loss`: the terms of the training loss, each chosen by name."""

from typing import Literal

from configs.schema.box_loss import BoxLoss, OverlapBoxLoss
from configs.schema.branch_loss import BceLoss, Classification, Objectness
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

    claimed_twice: Literal["best", "last"] = "best"
    """Objectness target of a cell that several targets claim: the best overlap, or the last one
    written (as YOLOv5; depends on the order of labels)."""
