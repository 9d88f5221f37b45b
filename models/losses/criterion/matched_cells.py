"""Matched cells: their predictions, their targets, and their positions.

Legend: B images, A predictions per cell, H W cells of a level, C classes, M matches.
"""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from utils.structures.predictions import LevelAssignment

ClaimRule = Literal["best", "last"]


def drop_invalid(matches: LevelAssignment) -> LevelAssignment:
    """Return only the valid entries; synchronises with a GPU, saves work on a CPU."""
    kept = matches.valid.nonzero().squeeze(1)
    return replace(
        matches,
        image=matches.image[kept],
        anchor=matches.anchor[kept],
        row=matches.row[kept],
        column=matches.column[kept],
        target=matches.target[kept],
        valid=matches.valid[kept],
        quality=None if matches.quality is None else matches.quality[kept],
    )


def boxes_in_cell(boxes: Tensor, matches: LevelAssignment, stride: int) -> Tensor:
    """Return boxes (M, 4) xyxy px in grid units from the corner of their cells."""
    cells = torch.stack((matches.column, matches.row), dim=1).to(boxes)
    return boxes / stride - cells.repeat(1, 2)


def spread_over_cells(
    values: Tensor, matches: LevelAssignment, shape: torch.Size, claimed_twice: ClaimRule
) -> Tensor:
    """Return (B A H W,) or (B A H W, C): the values from 0 of the matches, 0 in other cells.

    Args:
        values: (M,) or (M, C), not below 0.
        matches: where they belong.
        shape: B, A, H, W of the level.
        claimed_twice: of several matches of a cell, the largest value (of each class) or the last.
    """
    _, num_anchors, height, width = shape
    cell = matches.image * num_anchors + matches.anchor
    cell = (cell * height + matches.row) * width + matches.column
    counts = matches.valid
    if claimed_twice == "last":
        place = torch.arange(len(cell), device=cell.device) * counts
        last = place.new_zeros(shape.numel()).scatter_reduce(0, cell, place, "amax")
        counts = counts & (last[cell] == place)
    if values.ndim == 2:
        cell, counts = cell[:, None].expand_as(values), counts[:, None]
    values = torch.where(counts, values, 0.0)
    blank = values.new_zeros(shape.numel(), *values.shape[1:])
    return blank.scatter_reduce(0, cell, values, "amax")
