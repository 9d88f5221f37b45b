"""Section `loss`: the terms of the training loss, each chosen by name."""

from typing import Literal

from pydantic import Field

from configs.schema.box_loss import (
    BoxLoss,
    CodingL1LossSettings,
    DistributionLossSettings,
    OverlapBoxLossSettings,
)
from configs.schema.branch_loss import (
    BceLossSettings,
    BranchLossSettings,
    Objectness,
    TargetKind,
)
from configs.schema.class_loss import Classification
from configs.schema.model import AnchorRatioAssignerSettings, Assigner
from configs.schema.settings import Settings

BRANCHES = ("objectness", "classification")
"""The terms on logits: sections of `loss` that name a loss of a logit each."""


class LossSettings(Settings):
    """Assigner and the three terms of the loss."""

    assigner: Assigner = AnchorRatioAssignerSettings()
    """How ground-truth boxes are assigned to cells."""

    box: BoxLoss = OverlapBoxLossSettings()
    """Box term, over matched cells."""

    objectness: Objectness = BceLossSettings(gain=1.0)
    """Objectness term, over all cells; null with a Retina or Joint head, which have none."""

    classification: Classification = BceLossSettings(gain=0.5)
    """Class term, over matched cells and absent with a single class; without objectness over all
    cells, its gain as it stands."""

    distribution: DistributionLossSettings | None = None
    """Term on the distributions of box sides, over matched cells; for heads that have them."""

    l1: CodingL1LossSettings | None = None
    """Term on coded box values in the last epochs, over matched cells; for anchor-free heads."""

    level_balance: tuple[float, ...] | None = None
    """Weight of each level's objectness, fine to coarse; null: 4, 1, 0.4 for three levels, else
    4, 1, 0.25, 0.06, 0.02 as far as there are levels; 1 each with an assigner without anchors."""

    budget_interval: int = Field(default=50, ge=0)
    """Interval, in batches, between measurements of the loss budget (budget.csv, report), from the
    first batch of each epoch on; 0 switches it off. Does not affect training."""

    claimed_twice: Literal["best", "last"] = "best"
    """Objectness target of a cell that several targets claim: the best overlap, or the last one
    written (as YOLOv5; depends on the order of labels)."""

    def target_of(self, name: str) -> TargetKind | None:
        """Return the target of assigned cells in the branch `name`, None where that is null."""
        branch = self.branches.get(name)
        if branch is None or branch.target is not None:
            return None if branch is None else branch.target
        if self.assigner.gives_quality:
            return "aligned" if name == "classification" else "hard"
        return "hard" if name == "classification" else "iou"

    @property
    def branches(self) -> dict[str, BranchLossSettings]:
        """The losses of logits by name of their branch, those that are not null."""
        given = {name: getattr(self, name) for name in BRANCHES}
        return {name: loss for name, loss in given.items() if loss is not None}
