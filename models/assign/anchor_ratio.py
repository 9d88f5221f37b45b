"""Assignment by anchor shape: the cells of a target do not depend on the network's output.

Legend: T targets, A anchors per cell, H W cells of a level, M = 3 A T entries of a level.
"""

import torch
from torch import Tensor

from models.assign.assigner import anchors_by_level
from utils.structures.batch import Targets
from utils.structures.predictions import Assignment, LevelAssignment, Predictions

_SLOTS = 3
"""Cells per target and anchor: its own, the nearer horizontal and the nearer vertical neighbour."""


class AnchorRatioAssigner:
    """Assigns a target to every anchor of similar size, in its cell and the two nearest cells.

    An anchor matches where neither width nor height differ by `max_ratio` or more, either way
    round; there is no overlap test, and a target may match on several levels. The cells are the one
    with the centre, and per axis the neighbour on whose side of the cell the centre lies: none from
    the exact middle, and none across the border of the map.

    The recipe of YOLOv5 (docs/recipe_sources.md#assignment). Ours: a cell stands only once in the
    list; there, a centre exactly on a grid line enters its own cell again for every such axis. And
    the result has a fixed length with a `valid` mask, so the number of matches is never
    synchronised with a GPU.

    Args:
        max_ratio: largest allowed ratio between a side of the target and of the anchor, exclusive.
    """

    def __init__(self, *, max_ratio: float) -> None:
        if not max_ratio > 1:
            raise ValueError(f"AnchorRatioAssigner: max_ratio must exceed 1, got {max_ratio}")
        self.max_ratio = max_ratio

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Targets) -> Assignment:
        """Return the matches of every level, (3 A T,) entries each; no gradient.

        Only the shapes, anchors and strides of `predictions` matter. Entries are ordered by slot,
        then anchor, then target; a target without area matches nothing.
        """
        return Assignment(
            levels=tuple(
                self._assign_level(level.shape, anchors, stride, targets)
                for level, anchors, stride in zip(
                    predictions.levels,
                    anchors_by_level(predictions),
                    predictions.strides,
                    strict=True,
                )
            )
        )

    def _assign_level(
        self, shape: torch.Size, anchors: Tensor, stride: int, targets: Targets
    ) -> LevelAssignment:
        num_anchors, height, width = shape[1:4]
        boxes = targets.boxes
        sizes = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)  # an empty side divides to infinity
        fits = self._fits(sizes, anchors.to(boxes))  # (A, T)
        column, row, near = _cells((boxes[:, :2] + boxes[:, 2:]) / 2 / stride, height, width)
        valid = (near[:, None] & fits).flatten()  # (3, A, T) to (M,)
        every = (_SLOTS, num_anchors, len(boxes))
        anchor = torch.arange(num_anchors, device=boxes.device)[:, None].expand(every)
        target = torch.arange(len(boxes), device=boxes.device).expand(every)
        image = targets.image_index.expand(every)

        def entries(values: Tensor) -> Tensor:
            return torch.where(valid, values.flatten(), 0)

        return LevelAssignment(
            image=entries(image),
            anchor=entries(anchor),
            row=entries(row[:, None].expand(every)),
            column=entries(column[:, None].expand(every)),
            target=entries(target),
            valid=valid,
        )

    def _fits(self, sizes: Tensor, anchors: Tensor) -> Tensor:
        """Return (A, T) bool: whether sizes (T, 2) match anchors (A, 2), width and height in px."""
        ratio = sizes[None] / anchors[:, None]
        return torch.maximum(ratio, 1 / ratio).amax(dim=-1) < self.max_ratio


def _cells(centers: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return column, row (3, T) of the cells near centres (T, 2) in grid units, and which count."""
    column, next_column, has_horizontal = _along_axis(centers[:, 0], width)
    row, next_row, has_vertical = _along_axis(centers[:, 1], height)
    columns = torch.stack((column, next_column, column))
    rows = torch.stack((row, row, next_row))
    return columns, rows, torch.stack((torch.ones_like(has_vertical), has_horizontal, has_vertical))


def _along_axis(center: Tensor, num_cells: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return the cell of centre (T,), its nearer neighbour, and whether that one counts."""
    own = center.floor()
    lean = center - own  # 0 at the left or top edge of the cell
    before = (lean < 0.5) & (center > 1)
    after = (lean > 0.5) & (num_cells - center > 1)
    neighbour = own + after.to(own) - before.to(own)
    own, neighbour = (cell.clamp(0, num_cells - 1).long() for cell in (own, neighbour))
    return own, neighbour, neighbour != own  # only one cell at the border
