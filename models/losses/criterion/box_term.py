"""`BoxTerm`: a term of the loss on matched boxes, over all levels."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from models.distributed import share_of_count
from utils.structures.iou import OverlapKind

BoxNormalizer = Literal["mean", "positives", "targets"]


class BoxTerm(nn.Module):
    """Gain times the loss of matched boxes.

    * mean: by level over its matches, summed over levels; the published reduction of YOLO heads. A
      level without matches adds 0.
    * positives: the sum over the matches of all levels, divided by their number, at least 1.
    * targets: the sum of loss times soft target over the matches of all levels, divided by the sum
      of the soft targets, at least 1 (Feng et al. 2021, arXiv 2108.07755).

    Args:
        loss: takes boxes, ground truth (M, 4) and anchors (M, 2) and returns (M,); its `kind` names
            the overlap that objectness targets show. In a term on coded values it takes these and
            their targets, see `coding.py`, and has no kind.
        gain: factor on the term, at least 0.
        normalizer: what the sum of losses is divided by; counts and sums are those of all ranks.
    """

    def __init__(
        self,
        loss: nn.Module,
        *,
        gain: float,
        normalizer: BoxNormalizer = "mean",
    ) -> None:
        super().__init__()
        self.loss = loss
        self.gain = gain
        self.normalizer: BoxNormalizer = normalizer

    @property
    def kind(self) -> OverlapKind:
        """The overlap that objectness targets show."""
        kind: OverlapKind = getattr(self.loss, "kind", "iou")
        return kind

    def forward(
        self, losses: Sequence[Tensor], valid: Sequence[Tensor], targets: Sequence[Tensor]
    ) -> Tensor:
        """Return the term, a scalar, of losses (M,) that count where valid (M,), level by level.

        targets: (M,) soft target of each match, read by the normalizer of that name.
        """
        if self.normalizer == "targets":
            weights = torch.cat(
                [torch.where(v, t, 0.0) for v, t in zip(valid, targets, strict=True)]
            )
            joined = torch.where(torch.cat(tuple(valid)), torch.cat(tuple(losses)), 0.0)
            return self.gain * (weights * joined).sum() / share_of_count(weights.sum())
        sums = [torch.where(v, level, 0.0).sum() for level, v in zip(losses, valid, strict=True)]
        counts = torch.stack([v.sum() for v in valid])
        if self.normalizer == "mean":
            shares = torch.stack(sums) / share_of_count(counts)
            return self.gain * shares.sum()
        return self.gain * torch.stack(sums).sum() / share_of_count(counts.sum())
