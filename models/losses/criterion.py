"""`DetectionCriterion`: from raw predictions and targets to the three terms of the loss.

Who answers for which target is decided in `models/assign`; which losses and gains an experiment
asks for is read in `build.py`; how a term is summed is in `branch.py`.

Legend: B images, A anchors per cell, H W cells of a level, L levels, C classes, M matches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from models.losses.box_term import BoxTerm
from models.losses.branch import Branch, BranchInput, TargetKind
from models.losses.fused import at_least_float32
from utils.structures.batch import Targets
from utils.structures.iou import box_overlap
from utils.structures.predictions import Assignment, LevelAssignment, LossTerms, Predictions

ClaimRule = Literal["best", "last"]


class Assigner(Protocol):
    """Decides which cells answer for which targets."""

    def __call__(self, predictions: Predictions, targets: Targets) -> Assignment:
        """Return the matches of every level; no gradient."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LossParts:
    """What the terms are made of: losses of matched boxes by level, and the input of each branch.

    `classification` is None with a single class.
    """

    box_losses: tuple[Tensor, ...]
    box_valid: tuple[Tensor, ...]
    objectness: BranchInput
    classification: BranchInput | None
    num_foreground: Tensor


class DetectionCriterion(nn.Module):
    """Box, objectness and class loss of an anchor head with objectness.

    * box: the loss of matched boxes, in grid units relative to the cell (`box_term.py`).
    * objectness: over all cells, a level weighted by its balance. The target of a matched cell is
      the overlap of its box with its truth, cut at 0 and without gradient, or 1; 0 elsewhere.
    * classification: over matches and classes; absent with one class. The target of the true class
      is 1 or the overlap.

    With means, BCE and CIoU this is the recipe of YOLOv5 (SPEC 2B.7). Ours: a cell claimed by
    several targets takes the best overlap unless `claimed_twice` is "last" (the last match in the
    assigner's order, on a GPU too). A level without matches adds 0. Everything is float32, whatever
    the autocast around it.

    Args:
        assigner: who answers for which target.
        box: term of matched boxes.
        objectness: term of the logits of all cells.
        classification: term of the class logits of matched cells.
        level_balance: weight of each level's objectness, fine to coarse; None for
            4, 1, 0.4 on three levels, else the first L of 4, 1, 0.25, 0.06, 0.02.
        claimed_twice: objectness target of a cell that several targets claim.
    """

    def __init__(
        self,
        *,
        assigner: Assigner,
        box: BoxTerm,
        objectness: Branch,
        classification: Branch,
        level_balance: Sequence[float] | None = None,
        claimed_twice: ClaimRule = "best",
    ) -> None:
        super().__init__()
        self.assigner = assigner
        self.box = box
        self.objectness = objectness
        self.classification = classification
        self.level_balance = None if level_balance is None else tuple(level_balance)
        self.claimed_twice: ClaimRule = claimed_twice

    def forward(self, predictions: Predictions, targets: Targets) -> LossTerms:
        """Return the terms for levels (B, A, H, W, 5 + C) and T targets; T may be 0.

        Raises:
            ValueError: a level has no balance weight.
        """
        with torch.autocast(predictions.levels[0].device.type, enabled=False):
            parts = self.parts(predictions, targets)
            box = self.box(parts.box_losses, parts.box_valid)
            positives = parts.num_foreground
            return LossTerms(
                box=box,
                objectness=self.objectness(parts.objectness, positives),
                classification=box.new_zeros(())
                if parts.classification is None
                else self.classification(parts.classification, positives),
                num_foreground=positives,
                batch_size=len(predictions.levels[0]),
            )

    def parts(self, predictions: Predictions, targets: Targets) -> LossParts:
        """Return what the terms are computed from; the same arguments as `forward`."""
        assignment = self.assigner(predictions, targets)
        balance = balance_of_levels(len(predictions.levels), self.level_balance)
        levels = [
            self._level_parts(predictions, index, level, targets)
            for index, level in enumerate(assignment.levels)
        ]
        losses, valid, wanted, logits, labels = zip(*levels, strict=True)
        return LossParts(
            box_losses=losses,
            box_valid=valid,
            objectness=BranchInput(
                logits=tuple(
                    at_least_float32(level[..., 4]).flatten() for level in predictions.levels
                ),
                targets=wanted,
                counted=None,
                level_weights=balance,
            ),
            classification=BranchInput(
                logits=logits, targets=labels, counted=valid, level_weights=(1.0,) * len(levels)
            )
            if logits[0].shape[1] > 1
            else None,
            num_foreground=assignment.num_foreground,
        )

    def _level_parts(
        self, predictions: Predictions, index: int, matches: LevelAssignment, targets: Targets
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return box losses and which count (M,), objectness targets (N,), class logits and
        targets (M, C) of one level with N cells.
        """
        raw, stride = predictions.levels[index], predictions.strides[index]
        if is_counting_free(raw.device):
            matches = drop_invalid(matches)
        cells = (matches.image, matches.anchor, matches.row, matches.column)
        matched = at_least_float32(raw[cells])  # (M, 5 + C)
        anchors = predictions.anchors[index].to(matched)[matches.anchor] / stride
        boxes = _decode_in_cell(matched, anchors)
        truths = _boxes_in_cell(targets.boxes.to(matched)[matches.target], matches, stride)
        overlap = box_overlap(boxes, truths, self.box.kind).detach().clamp(min=0)
        wanted = self._objectness_target(
            raw.shape[:4], matches, _target_of(overlap, self.objectness.target)
        )
        labels = targets.labels[matches.target]
        is_class = labels[:, None] == torch.arange(matched.shape[1] - 5, device=labels.device)
        quality = _target_of(overlap, self.classification.target)
        class_targets = torch.where(is_class, quality[:, None], 0.0)
        losses = self.box.loss(boxes, truths, anchors)
        return losses, matches.valid, wanted.flatten(), matched[:, 5:], class_targets

    def _objectness_target(
        self, shape: torch.Size, matches: LevelAssignment, quality: Tensor
    ) -> Tensor:
        """Return the target (B, A, H, W): `quality` (M,) above 0 at the matches, 0 elsewhere."""
        _, num_anchors, height, width = shape
        cell = matches.image * num_anchors + matches.anchor
        cell = (cell * height + matches.row) * width + matches.column
        counts = matches.valid
        if self.claimed_twice == "last":
            place = torch.arange(len(cell), device=cell.device) * counts
            last = place.new_zeros(shape.numel()).scatter_reduce(0, cell, place, "amax")
            counts = counts & (last[cell] == place)
        quality = torch.where(counts, quality, 0.0)
        wanted = quality.new_zeros(shape.numel()).scatter_reduce(0, cell, quality, "amax")
        return wanted.view(shape)


def _target_of(overlap: Tensor, kind: TargetKind) -> Tensor:
    """Return the target (M,) of matches whose boxes have this overlap with their truths."""
    return overlap if kind == "iou" else torch.ones_like(overlap)


def balance_of_levels(num_levels: int, given: Sequence[float] | None) -> tuple[float, ...]:
    """Return one objectness weight a level, fine to coarse; published values where none is given.

    Raises:
        ValueError: `given` has another length, or more than five levels and none given.
    """
    published = (4.0, 1.0, 0.4) if num_levels == 3 else (4.0, 1.0, 0.25, 0.06, 0.02)[:num_levels]
    balance = published if given is None else tuple(given)
    if len(balance) != num_levels:
        raise ValueError(
            f"level_balance: the model has {num_levels} levels but there are {len(balance)} weights"
        )
    return balance


def is_counting_free(device: torch.device) -> bool:
    """Whether the number of matches is known without waiting for the device."""
    return device.type == "cpu"


def drop_invalid(matches: LevelAssignment) -> LevelAssignment:
    """Return only the valid entries; on a GPU this waits for it, on a CPU it saves the work."""
    kept = matches.valid.nonzero().squeeze(1)
    return LevelAssignment(
        image=matches.image[kept],
        anchor=matches.anchor[kept],
        row=matches.row[kept],
        column=matches.column[kept],
        target=matches.target[kept],
        valid=matches.valid[kept],
    )


def _decode_in_cell(raw: Tensor, anchors: Tensor) -> Tensor:
    """Return boxes (M, 4) xyxy of raw (M, 5 + C), in grid units from the cell's corner."""
    activated = raw[:, :4].sigmoid()
    center = activated[:, :2] * 2 - 0.5
    half_size = (activated[:, 2:] * 2).square() * anchors / 2
    return torch.cat((center - half_size, center + half_size), dim=1)


def _boxes_in_cell(boxes: Tensor, matches: LevelAssignment, stride: int) -> Tensor:
    """Return boxes (M, 4) xyxy px in grid units from the corner of their cells."""
    cells = torch.stack((matches.column, matches.row), dim=1).to(boxes)
    return boxes / stride - cells.repeat(1, 2)
