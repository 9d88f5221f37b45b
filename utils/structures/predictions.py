"""Raw predictions of the network, and their assignment to targets.

Legend: B images, A predictions per cell (one an anchor), H W cells of a level, L levels, K channels
of a prediction, C classes, P cells of all levels, M matches of a level.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from utils.structures.decoder import Decoder, RawParts

ClassScores = Literal["sigmoid", "softmax"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Raw output of a head, one entry per level, fine to coarse.

    levels: (B, A, H, W, K) each, before any activation; only the decoder knows what the K channels
        mean. strides: input pixels per cell. decoder: how the head's output is read. anchors:
    (L, A, 2) width and height in input pixels; None, and A is 1, for a head without anchors.
    class_scores: whether each class has a sigmoid of its own or all share a softmax.
    """

    levels: tuple[Tensor, ...]
    strides: tuple[int, ...]
    decoder: Decoder
    anchors: Tensor | None = None
    class_scores: ClassScores = "sigmoid"

    @property
    def has_objectness(self) -> bool:
        """Whether a prediction has an objectness beside its classes."""
        return self.decoder.has_objectness

    @property
    def num_classes(self) -> int:
        """C, the number of class channels."""
        return self.split(self.levels[0]).classes.shape[-1]

    def split(self, raw: Tensor) -> RawParts:
        """Return box, objectness or None and classes of raw output (..., K), views of it."""
        return self.decoder.split(raw)

    def anchors_of(self, level: int) -> Tensor | None:
        """Return the anchors (A, 2) of a level in pixels, None for a head without them."""
        return None if self.anchors is None else self.anchors[level]

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
        anchors = self.anchors_of(level)
        own = None if anchors is None else anchors.to(raw)[anchor]
        return self._decode(raw, cells_xy, own, level)

    def score_caps(self, level: int, image: int) -> Tensor:
        """Return upper bounds of the scores of each cell, (A, H, W) float32 in [0, 1], cheaply.

        It is the objectness, which class scores can only lower, or else `best_scores`.
        """
        objectness = self.split(self.levels[level][image]).objectness
        if objectness is not None:
            # Copied first: one channel of many is strided, on which arithmetic is slow.
            return objectness.contiguous().float().sigmoid()
        return self.best_scores(level, image)

    def best_scores(self, level: int, image: int) -> Tensor:
        """Return the best score (A, H, W) of each cell, float32 in [0, 1], of a level and image.

        It is the score of `decode` but for rounding; classes are not activated one by one.
        """
        _, objectness, logits = self.split(self.levels[level][image])
        best = logits.amax(dim=-1).float()
        if self.class_scores == "softmax":
            best = (best - logits.float().logsumexp(dim=-1)).exp()
        else:
            best = best.sigmoid()
        return best if objectness is None else best * objectness.float().sigmoid()

    def _decode_level(self, index: int) -> tuple[Tensor, Tensor, Tensor]:
        raw = self.levels[index].float()
        height, width = raw.shape[2:4]
        columns = torch.arange(width, device=raw.device, dtype=torch.float32)
        rows = torch.arange(height, device=raw.device, dtype=torch.float32)
        cells_xy = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1)  # (H, W, 2)
        anchors = self.anchors_of(index)
        if anchors is not None:
            anchors = anchors.to(raw).view(1, -1, 1, 1, 2)
        boxes, objectness, scores = self._decode(raw, cells_xy, anchors, index)
        return boxes.flatten(1, 3), objectness.flatten(1, 3), scores.flatten(1, 3)

    def _decode(
        self, raw: Tensor, cells_xy: Tensor, anchors: Tensor | None, level: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (..., 4), objectness (...) and class scores (..., C) of raw output (..., K).

        cells_xy (..., 2) column and row, anchors (..., 2) pixels; both broadcast against `raw`.
        """
        parts = self.split(raw)
        # Copied first, as above: some channels of many are strided.
        boxes = self.decoder.boxes(parts.box.contiguous(), cells_xy, anchors, self.strides[level])
        logits = parts.classes.contiguous()
        scores = logits.softmax(dim=-1) if self.class_scores == "softmax" else logits.sigmoid()
        if parts.objectness is None:
            return boxes, torch.ones_like(scores[..., 0]), scores
        return boxes, parts.objectness.contiguous().sigmoid(), scores


def join_predictions(parts: Sequence[Predictions]) -> Predictions:
    """Return the predictions of the images of all parts, in their order; all of one network and of
    one image size.
    """
    if len(parts) == 1:
        return parts[0]
    levels = zip(*(part.levels for part in parts), strict=True)
    return replace(parts[0], levels=tuple(torch.cat(level) for level in levels))


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
    """Which cells of one level are assigned to which targets; no gradient.

    The matches have a length M fixed by the shapes alone, so that no step waits for the device to
    count: `valid` (M,) bool says which entries count; of those that do not, target is 0 and the
    cell is any. image, anchor, row, column, target (M,) int64: the cell and the index into Targets.
    A cell may be claimed by several targets. ignored (B, A, H, W) bool: cells too close to a target
    to be background and not close enough to match it, ignored by all losses;
    None where there are none. quality (M,) float32 in [0, 1]: the soft target of the match, from
    task-aligned assigners; None where the assigner gives none.
    """

    image: Tensor
    anchor: Tensor
    row: Tensor
    column: Tensor
    target: Tensor
    valid: Tensor
    ignored: Tensor | None = None
    quality: Tensor | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """The matches of every level, fine to coarse."""

    levels: tuple[LevelAssignment, ...]

    @property
    def num_foreground(self) -> Tensor:
        """Number of matches of all levels, a scalar on the device."""
        return torch.stack([level.valid.sum() for level in self.levels]).sum()
