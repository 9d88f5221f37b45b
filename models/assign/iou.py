"""Assignment by overlap of anchor boxes: positive, ignored or background, cell by cell.

Legend: B images, T targets, K targets in a chunk, L levels, A anchors per cell, H W cells
of a level, P anchor boxes of all levels.
"""

import torch
from torch import Tensor

from models.assign.assigner import anchors_by_level
from models.assign.cells import cell_entries
from utils.structures.batch import Targets
from utils.structures.predictions import Assignment, LevelAssignment, Predictions

LARGEST_TABLE = 1 << 22
"""Limit on overlaps in memory at a time, 16 MB for each table; targets beyond it form the next
chunk."""

_BEST = 2.0
"""Added to the overlap of a target's best anchor box, so that no other target exceeds it there."""


class IouAssigner:
    """Assigns every anchor box, centred on its cell, to the target it overlaps most.

    An overlap (IoU) of `positive` or more makes it a match of that target, less than `negative`
    makes it background; between them it is ignored by all losses. Ties go to the first target. With
    `rescue` the best anchor box of each target (all that tie for it) matches it at any overlap
    above 0, even if it overlaps another target more; where several targets have the same best one,
    the largest overlap wins.

    The rule of Lin et al. 2017, arXiv 1708.02002, section 4 (0.5, 0.4, without rescue: a target
    that fits no anchor is never learnt). With rescue as torchvision's `allow_low_quality_matches`,
    which however matches such a box with the target it overlaps most. Ours: no padding to the
    image with the most targets, since the anchors of all images are the same; memory is bounded for
    any number of targets, and the number of matches is never synchronised with the device.

    Args:
        positive: smallest overlap of a match, 0 to 1.
        negative: overlap below which a cell is background, at most `positive`.
        rescue: every target gets at least one anchor box.
    """

    def __init__(
        self, *, positive: float = 0.5, negative: float = 0.4, rescue: bool = True
    ) -> None:
        if not 0 < negative <= positive <= 1:
            raise ValueError(
                f"IouAssigner: 0 < negative <= positive <= 1 is needed, got {negative}, {positive}"
            )
        self.positive = positive
        self.negative = negative
        self.rescue = rescue

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Targets) -> Assignment:
        """Return one entry per cell, B A H W of every level (none without targets), no gradient.

        Only the shapes, anchors and strides of `predictions` matter.
        """
        num_images = len(predictions.levels[0])
        overlap, target = self._best_targets(predictions, targets, num_images)  # (B, P)
        shapes = [level.shape[:4] for level in predictions.levels]
        sizes = [shape[1:].numel() for shape in shapes]
        return Assignment(
            levels=tuple(
                self._level(
                    shape,
                    level_overlap.reshape(shape),
                    level_target.reshape(shape),
                    has_targets=len(targets) > 0,
                )
                for shape, level_overlap, level_target in zip(
                    shapes, overlap.split(sizes, dim=1), target.split(sizes, dim=1), strict=True
                )
            )
        )

    def _best_targets(
        self, predictions: Predictions, targets: Targets, num_images: int
    ) -> tuple[Tensor, Tensor]:
        """Return overlap, raised where it is a rescue, and index of each box's target, (B, P)."""
        num_boxes = sum(level.shape[1:4].numel() for level in predictions.levels)
        overlap = targets.boxes.new_zeros(num_images, num_boxes)
        target = targets.labels.new_zeros(num_images, num_boxes)
        step = max(1, LARGEST_TABLE // num_boxes)
        for start in range(0, len(targets), step):
            chunk = slice(start, start + step)
            bids = self._bids(predictions, targets.boxes[chunk])  # (K, P)
            best, winner = _highest_bids(bids, targets.image_index[chunk], num_images)
            target = torch.where(best > overlap, winner + start, target)
            overlap = torch.maximum(best, overlap)
        return overlap, target

    def _bids(self, predictions: Predictions, boxes: Tensor) -> Tensor:
        """Return the overlap (K, P) of boxes (K, 4) with all anchor boxes, the best ones raised."""
        levels = zip(
            predictions.levels, anchors_by_level(predictions), predictions.strides, strict=True
        )
        overlaps = [
            _overlap_with_grid(boxes, anchors.to(boxes), stride, level.shape[2:4]).flatten(1)
            for level, anchors, stride in levels
        ]
        bids = torch.cat(overlaps, dim=1)
        if not self.rescue:
            return bids
        best = bids.amax(dim=1, keepdim=True)
        return torch.where((bids == best) & (best > 0), bids + _BEST, bids)

    def _level(
        self, shape: torch.Size, overlap: Tensor, target: Tensor, *, has_targets: bool
    ) -> LevelAssignment:
        """Return the entries of one level from overlap and target index (B, A, H, W)."""
        is_match = overlap >= self.positive
        return cell_entries(
            shape,
            target,
            is_match=is_match,
            has_targets=has_targets,
            ignored=~is_match & (overlap >= self.negative),
        )


def _overlap_with_grid(boxes: Tensor, anchors: Tensor, stride: int, grid: torch.Size) -> Tensor:
    """Return the IoU (K, A, H, W) of boxes (K, 4) with anchors (A, 2) centred on every cell, px.

    The shared length along x depends on the column only, that along y on the row only, so the
    large table takes one product and one division.
    """
    height, width = grid
    shared_x = _shared_lengths(boxes[:, 0], boxes[:, 2], anchors[:, 0], stride, width)
    shared_y = _shared_lengths(boxes[:, 1], boxes[:, 3], anchors[:, 1], stride, height)
    shared = shared_y[..., :, None] * shared_x[..., None, :]
    sizes = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0)
    areas = sizes.prod(dim=1)[:, None] + anchors.prod(dim=1)  # (K, A)
    return shared / (areas[..., None, None] - shared)


def _shared_lengths(
    low: Tensor, high: Tensor, anchors: Tensor, stride: int, num_cells: int
) -> Tensor:
    """Return the length (K, A, cells) that intervals low to high (K,) share with anchors (A,)."""
    centers = (torch.arange(num_cells, device=low.device, dtype=low.dtype) + 0.5) * stride
    half = anchors[:, None] / 2
    ends = torch.minimum(high[:, None, None], centers + half)
    return (ends - torch.maximum(low[:, None, None], centers - half)).clamp(min=0)


def _highest_bids(bids: Tensor, image_index: Tensor, num_images: int) -> tuple[Tensor, Tensor]:
    """Return the maximum of values (K, P) per image and its row, (B, P); ties go to the first."""
    image = image_index[:, None].expand_as(bids)
    best = bids.new_zeros(num_images, bids.shape[1]).scatter_reduce(0, image, bids, "amax")
    rows = torch.arange(len(bids), device=bids.device)[:, None]
    bidders = torch.where(bids == best.gather(0, image), rows, len(bids))
    first = torch.full_like(best, len(bids), dtype=torch.int64)
    return best, first.scatter_reduce(0, image, bidders, "amin")
