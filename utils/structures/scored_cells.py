"""Boxes and scores of all cells, as an exported network gives them.

Legend: B images, P cells of all levels, C classes, N cells chosen.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

VOTING_SHARE = 0.5
"""A candidate with no more than this share of a kept box's score has no vote on its place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredCells:
    """What postprocessing reads of `Predictions`, for output that is decoded already.

    boxes (B, P, 4) float32 xyxy pixels of the network frame; scores (B, P, C) in [0, 1]. All cells
    make one level, in which a cell's index is its place.
    """

    boxes: Tensor
    scores: Tensor

    def __post_init__(self) -> None:
        is_fit = self.boxes.ndim == self.scores.ndim == 3 and self.boxes.shape[2] == 4
        if not is_fit or self.boxes.shape[:2] != self.scores.shape[:2]:
            raise ValueError(
                f"boxes must be (B, P, 4) and scores (B, P, C), "
                f"got {tuple(self.boxes.shape)} and {tuple(self.scores.shape)}"
            )

    @property
    def levels(self) -> tuple[Tensor, ...]:
        """One level, (B, P, C)."""
        return (self.scores,)

    @property
    def num_classes(self) -> int:
        """C."""
        return self.scores.shape[2]

    def best_scores(self, level: int, image: int) -> Tensor:
        """Return the best score (P,) of each cell of one image."""
        return self.scores[image].amax(dim=-1)

    def score_caps(self, level: int, image: int) -> Tensor:
        """Return `best_scores`, which is all there is to know."""
        return self.best_scores(level, image)

    def decode_cells(self, level: int, image: int, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (N, 4), ones (N,) and scores (N, C) of the cells (N,) of one image."""
        scores = self.scores[image, cells]
        return self.boxes[image, cells], torch.ones_like(scores[:, 0]), scores
