"""Shared by dynamic assigners: cells of all levels, rankings, and one entry per cell again.

Legend: B images, T targets, K targets in a chunk, P cells of all levels (level by level,
row by row), R ranked cells of a target.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from utils.structures.batch import Targets
from utils.structures.predictions import (
    Assignment,
    DecodedPredictions,
    LevelAssignment,
    Predictions,
)

LARGEST_TABLE = {True: 1 << 18, False: 1 << 22}
"""Limit on pairs of target and cell in memory at a time, about twelve numbers each: on a CPU to fit
its caches, elsewhere to bound memory for any number of targets and images."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells:
    """Every cell of a batch and what it predicts, in float32.

    x, y: (P,) point of the cell, px; stride: (P,) px per cell; edges: (5, B, P) left, top, right,
    bottom and area of the predicted boxes; decoded: the predictions as they were.
    """

    x: Tensor
    y: Tensor
    stride: Tensor
    edges: Tensor
    decoded: DecodedPredictions

    @classmethod
    def of(cls, predictions: Predictions, *, offset: float = 0.5) -> "Cells":
        """Return the cells of predictions with one box a cell.

        Args:
            predictions: raw output of a head without anchors.
            offset: position of the point in its cell, 0 (top left) to 1; 0.5 is the centre.

        Raises:
            ValueError: the head has anchors.
        """
        if predictions.anchors is not None:
            raise ValueError("this assigner takes heads without anchors, one prediction per cell")
        device, columns = predictions.levels[0].device, []
        for raw, stride in zip(predictions.levels, predictions.strides, strict=True):
            axes = (torch.arange(n, device=device, dtype=torch.float32) for n in raw.shape[2:4])
            y, x = torch.meshgrid(*((axis + offset) * stride for axis in axes), indexing="ij")
            columns.append(torch.stack((x, y, torch.full_like(x, stride))).flatten(1))
        x, y, stride_of_cell = torch.cat(columns, dim=1)
        decoded = predictions.decode()
        left, top, right, bottom = decoded.boxes.unbind(dim=-1)
        area = (right - left).clamp(min=0) * (bottom - top).clamp(min=0)
        edges = torch.stack((left, top, right, bottom, area))
        return cls(x=x, y=y, stride=stride_of_cell, edges=edges, decoded=decoded)

    @property
    def num_images(self) -> int:
        """B."""
        return self.edges.shape[1]

    def __len__(self) -> int:
        return self.edges.shape[2]

    def chunks(self, num_targets: int) -> Iterator[slice]:
        """Yield slices of targets whose tables (K, P) are small enough."""
        largest = LARGEST_TABLE[is_counting_free(self.x.device)]
        step = max(1, largest // len(self))
        return (slice(start, start + step) for start in range(0, num_targets, step))

    def overlaps(self, boxes: Tensor, image: Tensor) -> Tensor:
        """Return the IoU (K, P) of boxes (K, 4) px with predicted boxes of their images (K,)."""
        left, top, right, bottom, area = self.edges.index_select(1, image)
        x1, y1, x2, y2 = boxes[:, :, None].unbind(dim=1)
        width = (torch.minimum(right, x2) - torch.maximum(left, x1)).clamp_(min=0)
        height = (torch.minimum(bottom, y2) - torch.maximum(top, y1)).clamp_(min=0)
        shared = width.mul_(height)
        own = (x2 - x1).clamp(min=0) * (y2 - y1).clamp(min=0)
        union = (area + own).sub_(shared)
        return torch.where(union > 0, shared / union, 0.0)

    def are_inside(self, boxes: Tensor) -> Tensor:
        """Return (K, P) bool: whether a cell's point is within a box (K, 4), borders excluded."""
        left, top, right, bottom = boxes[:, :, None].unbind(dim=1)
        return (self.x > left) & (self.x < right) & (self.y > top) & (self.y < bottom)


def is_counting_free(device: torch.device) -> bool:
    """Whether reading a number from the device needs no synchronisation."""
    return device.type == "cpu"


def ranked(values: Tensor, count: int, *, largest: bool) -> Tensor:
    """Return the places (K, R) of the `count` largest or smallest of `values` (K, P), best first.

    Of equal values the first place counts as better, on every device. Values are float32 and not
    below 0, whose bits are in the order of the values. R is at most P.
    """
    num_places = values.shape[1]
    bits = (values + 0.0).view(torch.int32).long()  # no minus zero
    last_first = torch.arange(num_places - 1, -1, -1, device=values.device)
    keys = (bits if largest else -bits).mul_(num_places).add_(last_first)
    best = keys.topk(min(count, num_places), dim=1).values
    return num_places - 1 - best % num_places


def assignment_of(
    predictions: Predictions, targets: Targets, target: Tensor, quality: Tensor
) -> Assignment:
    """Return one entry per cell (none without targets) from what each cell is assigned to.

    Args:
        predictions: raw output of a head without anchors.
        targets: T targets.
        target: (B, P) index of the target, below 0 for background.
        quality: (B, P) float32 in [0, 1].
    """
    shapes = [raw.shape[:4] for raw in predictions.levels]
    sizes = [shape[1:].numel() for shape in shapes]
    levels = zip(shapes, target.split(sizes, dim=1), quality.split(sizes, dim=1), strict=True)
    return Assignment(
        levels=tuple(
            cell_entries(
                shape,
                index.reshape(shape),
                is_match=(index >= 0).reshape(shape),
                has_targets=len(targets) > 0,
                quality=own.reshape(shape),
            )
            for shape, index, own in levels
        )
    )


def cell_entries(
    shape: torch.Size,
    target: Tensor,
    *,
    is_match: Tensor,
    has_targets: bool,
    ignored: Tensor | None = None,
    quality: Tensor | None = None,
) -> LevelAssignment:
    """Return a level's entries, one per cell (B, A, H W flattened), or none without targets.

    Entries that are not valid still name their cell, and target 0: distinct cells make the backward
    pass fast on a GPU. target, is_match, ignored and quality are (B, A, H, W).
    """
    places = torch.meshgrid(
        *(torch.arange(size, device=target.device) for size in shape), indexing="ij"
    )
    listed = slice(None) if has_targets else slice(0)
    image, anchor, row, column = (place.flatten()[listed] for place in places)
    return LevelAssignment(
        image=image,
        anchor=anchor,
        row=row,
        column=column,
        target=torch.where(is_match, target, 0).flatten()[listed],
        valid=is_match.flatten()[listed],
        ignored=ignored,
        quality=None if quality is None else quality.flatten()[listed],
    )
