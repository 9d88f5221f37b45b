"""`BoxTerm`: the term of the loss on boxes, over all levels."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from models.distributed import share_of_count
from utils.structures.iou import OverlapKind


class BoxTerm(nn.Module):
    """Gain times the loss of matched boxes.

    * mean: by level over its matches, summed over levels; the published reduction of YOLO heads. A
      level without matches adds 0.
    * positives: the sum over the matches of all levels, divided by their number, at least 1.

    Args:
        loss: takes boxes, truths (M, 4) and anchors (M, 2) and returns (M,); its `kind` names the
            overlap that objectness targets show.
        gain: factor on the term, at least 0.
        normalizer: what the sum of losses is divided by; numbers of matches are those of all ranks.
    """

    def __init__(
        self,
        loss: nn.Module,
        *,
        gain: float,
        normalizer: Literal["mean", "positives"] = "mean",
    ) -> None:
        super().__init__()
        self.loss = loss
        self.gain = gain
        self.normalizer = normalizer

    @property
    def kind(self) -> OverlapKind:
        """The overlap that objectness targets show."""
        kind: OverlapKind = self.loss.kind  # type: ignore[assignment]
        return kind

    def forward(self, losses: Sequence[Tensor], valid: Sequence[Tensor]) -> Tensor:
        """Return the term, a scalar, of losses (M,) that count where valid (M,), level by level."""
        sums = [torch.where(v, level, 0.0).sum() for level, v in zip(losses, valid, strict=True)]
        counts = torch.stack([v.sum() for v in valid])
        if self.normalizer == "mean":
            shares = torch.stack(sums) / share_of_count(counts)
            return self.gain * shares.sum()
        return self.gain * torch.stack(sums).sum() / share_of_count(counts.sum())
