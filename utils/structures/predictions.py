"""What comes out of the network and what the assigner makes of it.

Legend: B images, A anchors per cell, H W cells of a level, L levels, C classes, P cells of all
levels, M matches of a level.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from utils.structures.box_coding import BoxCoding, decode_cell, decode_delta

ClassScores = Literal["sigmoid", "softmax"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Raw output of an anchor head, one entry per level, fine to coarse.

    levels: (B, A, H, W, 5 + C) each; channels are the four of the box, objectness, classes, all
    before the sigmoid; without objectness (B, A, H, W, 4 + C). anchors: (L, A, 2) width and height
    in input pixels. strides: input pixels per cell. coding: what the first four channels mean, see
    `box_coding.py`. has_objectness: channel 4 is objectness. class_scores: whether each class has a
    sigmoid of its own or all share a softmax.
    """

    levels: tuple[Tensor, ...]
    anchors: Tensor
    strides: tuple[int, ...]
    coding: BoxCoding = "cell"
    has_objectness: bool = True
    class_scores: ClassScores = "sigmoid"

    @property
    def first_class(self) -> int:
        """Index of the first class channel."""
        return 5 if self.has_objectness else 4

    @property
    def num_classes(self) -> int:
        """C, the number of class channels."""
        return self.levels[0].shape[-1] - self.first_class

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
            cells: (N,) int64 places in (A, H, W) flattened.

        Returns:
            boxes (N, 4) float32 xyxy pixels; objectness (N,); class scores (N, C), as in `decode`.
        """
        height, width = self.levels[level].shape[2:4]
        line, column = cells // width, cells % width
        anchor, row = line // height, line % height
        raw = self.levels[level][image, anchor, row, column].float()
        cells_xy = torch.stack((column, row), dim=-1)
        return self._decode(raw, cells_xy, self.anchors[level].to(raw)[anchor], level)

    def score_caps(self, level: int, image: int) -> Tensor:
        """Return what no score of a cell exceeds, (A, H, W) float32 in [0, 1], as fast as possible.

        It is the objectness, which class scores can only lower, or else `best_scores`.
        """
        if self.has_objectness:
            # Copied first: one channel of many lies in steps, over which arithmetic is slow.
            return self.levels[level][image, ..., 4].contiguous().float().sigmoid()
        return self.best_scores(level, image)

    def best_scores(self, level: int, image: int) -> Tensor:
        """Return the best score (A, H, W) of each cell, float32 in [0, 1], of a level and image.

        It is the score of `decode` but for rounding; classes are not activated one by one.
        """
        raw = self.levels[level][image]
        logits = raw[..., self.first_class :]
        best = logits.amax(dim=-1).float()
        if self.class_scores == "softmax":
            best = (best - logits.float().logsumexp(dim=-1)).exp()
        else:
            best = best.sigmoid()
        return best * raw[..., 4].float().sigmoid() if self.has_objectness else best

    def _decode_level(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        raw = self.levels[index].float()
        height, width = raw.shape[2:4]
        columns = torch.arange(width, device=raw.device, dtype=torch.float32)
        rows = torch.arange(height, device=raw.device, dtype=torch.float32)
        cells_xy = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)  # (H, W, 2)
        anchors = self.anchors[index].to(raw).view(1, -1, 1, 1, 2)
        boxes, objectness, scores = self._decode(raw, cells_xy, anchors, index)
        return boxes.flatten(1, 3), objectness.flatten(1, 3), scores.flatten(1, 3)

    def _decode(
        self, raw: Tensor, cells_xy: Tensor, anchors: Tensor, level: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (..., 4), objectness (...) and class scores (..., C) of raw output (..., K).

        cells_xy (..., 2) column and row, anchors (..., 2) pixels; both broadcast against `raw`.
        """
        activated, stride = raw.sigmoid(), self.strides[level]
        if self.coding == "cell":
            boxes = decode_cell(activated[..., :4], cells_xy, anchors, stride)
        else:
            boxes = decode_delta(raw[..., :4], cells_xy, anchors, stride)
        scores = activated[..., self.first_class :]
        if self.class_scores == "softmax":
            scores = raw[..., self.first_class :].softmax(dim=-1)
        if self.has_objectness:
            return boxes, activated[..., 4], scores
        return boxes, torch.ones_like(activated[..., 0]), scores


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedPredictions:
    """Every cell's prediction in the network frame.

    boxes (B, P, 4) float32 xyxy pixels, not clipped; objectness (B, P) and class_scores (B, P, C)
    in [0, 1]. A detection's score is objectness times class score; a head without objectness
    gives 1.
    """

    boxes: Tensor
    objectness: Tensor
    class_scores: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelAssignment:
    """Which cells of one level answer for which targets; no gradient.

    The matches have a length M fixed by the shapes alone, whatever matched, so that no step waits
    for the device to count: `valid` (M,) bool says which entries count; of those that do not,
    target is 0 and the cell is any. image, anchor, row, column, target (M,) int64: the cell and the
    index into Targets. A cell may be claimed by several targets. ignored (B, A, H, W) bool: cells
    too close to a target to be background and not close enough to answer for it, which no loss
    counts; None where there are none.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    target: Tensor
    valid: Tensor
    ignored: Tensor | None = None


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

    def detached(self) -> "LossTerms":
        """Return the same numbers without the graph that led to them."""
        return LossTerms(
            box=self.box.detach(),
            objectness=self.objectness.detach(),
            classification=self.classification.detach(),
            num_foreground=self.num_foreground.detach(),
            batch_size=self.batch_size,
        )
