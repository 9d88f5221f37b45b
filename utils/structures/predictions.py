"""What comes out of the network and what the assigner makes of it.

Legend: B images, A anchors per cell, H W cells of a level, L levels, C classes, P cells of all
levels, M matches of a level.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Raw output of an anchor head with objectness, one entry per level, fine to coarse.

    levels: (B, A, H, W, 5 + C) each; channels are x, y, w, h, objectness, classes, all before the
    sigmoid. anchors: (L, A, 2) width and height in input pixels. strides: input pixels per cell.
    Coding (YOLOv5 v6): cell column i, row j, stride s, anchor (aw, ah), sigmoid S:
    cx = (2 S(x) - 0.5 + i) s, cy = (2 S(y) - 0.5 + j) s, w = (2 S(w))^2 aw, h = (2 S(h))^2 ah.
    """

    levels: tuple[Tensor, ...]
    anchors: Tensor
    strides: tuple[int, ...]

    @property
    def num_classes(self) -> int:
        """C, the number of class channels."""
        return self.levels[0].shape[-1] - 5

    def decode(self) -> "DecodedPredictions":
        """Return boxes, objectness and class scores of every cell, always in float32.

        Levels are concatenated in order, each flattened anchor, then row, then column.
        """
        parts = [self._decode_level(index) for index in range(len(self.levels))]
        boxes, objectness, scores = (
            torch.cat(column, dim=1) for column in zip(*parts, strict=True)
        )
        return DecodedPredictions(boxes=boxes, objectness=objectness, class_scores=scores)

    def decode_cells(self, level: int, image: int, cells: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes, objectness and class scores of chosen cells of one level and image.

        Args:
            level: index of the level.
            image: index of the image.
            cells: (N, 3) int64 anchor, row and column of each cell.

        Returns:
            boxes (N, 4) float32 xyxy pixels; objectness (N,); class scores (N, C), as in `decode`.
        """
        anchor, row, column = cells.unbind(-1)
        raw = self.levels[level][image, anchor, row, column].float()
        cells_xy = torch.stack((column, row), dim=-1)
        return _decode(raw, cells_xy, self.anchors[level].to(raw)[anchor], self.strides[level])

    def _decode_level(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        raw = self.levels[index].float()
        height, width = raw.shape[2:4]
        columns = torch.arange(width, device=raw.device, dtype=torch.float32)
        rows = torch.arange(height, device=raw.device, dtype=torch.float32)
        cells_xy = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)  # (H, W, 2)
        anchors = self.anchors[index].to(raw).view(1, -1, 1, 1, 2)
        boxes, objectness, scores = _decode(raw, cells_xy, anchors, self.strides[index])
        return boxes.flatten(1, 3), objectness.flatten(1, 3), scores.flatten(1, 3)


def _decode(
    raw: Tensor, cells_xy: Tensor, anchors: Tensor, stride: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Return boxes (..., 4), objectness (...) and class scores (..., C) of raw output (..., 5 + C).

    cells_xy (..., 2) column and row, anchors (..., 2) pixels; both broadcast against `raw`.
    """
    activated = raw.sigmoid()
    centers = (activated[..., :2] * 2 - 0.5 + cells_xy) * stride
    half_sizes = (activated[..., 2:4] * 2).square() * anchors / 2
    boxes = torch.cat((centers - half_sizes, centers + half_sizes), dim=-1)
    return boxes, activated[..., 4], activated[..., 5:]


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedPredictions:
    """Every cell's prediction in the network frame.

    boxes (B, P, 4) float32 xyxy pixels, not clipped; objectness (B, P) and class_scores (B, P, C)
    in [0, 1]. A detection's score is objectness times class score.
    """

    boxes: Tensor
    objectness: Tensor
    class_scores: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelAssignment:
    """Which cells of one level answer for which targets; no gradient.

    All tensors have the fixed length M = slots per target and anchor times targets, whatever
    matched, so that no step waits for the device to count: `valid` (M,) bool says which entries
    count; those that do not are 0. image, anchor, row, column, target (M,) int64: the cell and the
    index into Targets. A cell may be claimed by several targets.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    target: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The matches of every level, fine to coarse."""

    levels: tuple[LevelAssignment, ...]

    @property
    def num_foreground(self) -> Tensor:
        """Number of matches of all levels, a scalar on the device."""
        return torch.stack([level.valid.sum() for level in self.levels]).sum()


@dataclass(frozen=True, slots=True, kw_only=True)
class LossTerms:
    """Scalar losses of one batch, gains applied, each averaged so that batch size cancels.

    box: mean of 1 - IoU over the matches of a level, summed over levels. objectness: mean over all
    cells of a level, weighted by level, summed. classification: mean over matches and classes.
    `total`, which is what `backward` starts from, is their sum times the number of images, the
    published scaling of this recipe (SPEC 2B.7): learning rates are tuned for it.
    """

    box: Tensor
    objectness: Tensor
    classification: Tensor
    num_foreground: Tensor
    batch_size: int

    @property
    def total(self) -> Tensor:
        """Sum of the terms times the batch size."""
        return (self.box + self.objectness + self.classification) * self.batch_size
