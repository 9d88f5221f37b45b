"""`DetectionCriterion`: from raw predictions and targets to the three terms of the loss.

Who answers for which target is decided in `models/assign`; which losses and gains an experiment
asks for is read in `build.py`.

Legend: B images, A anchors per cell, H W cells of a level, L levels, C classes, M matches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from models.losses.focal import at_least_float32
from utils.structures.batch import Targets
from utils.structures.iou import OverlapKind, box_overlap
from utils.structures.predictions import Assignment, LevelAssignment, LossTerms, Predictions

ClaimRule = Literal["best", "last"]


class Assigner(Protocol):
    """Decides which cells answer for which targets."""

    def __call__(self, predictions: Predictions, targets: Targets) -> Assignment:
        """Return the matches of every level; no gradient."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """Factor on each term of the loss, applied as it stands: 0 or more."""

    box: float
    objectness: float
    classification: float


class DetectionCriterion(nn.Module):
    """Box, objectness and class loss of an anchor head with objectness.

    * box: mean of 1 - overlap over the matches of a level, summed over levels. The overlap is taken
      in grid units, relative to the cell.
    * objectness: mean over all cells of a level, times the level's balance, summed. The target of a
      cell is the overlap of its box with its truth, cut at 0 and without gradient; 0 elsewhere.
    * classification: mean over matches and classes of a level, summed; absent with one class.

    The recipe of YOLOv5 (SPEC 2B.7). Ours: a cell claimed by several targets takes the best overlap
    unless `claimed_twice` is "last" (the last match in the assigner's order, on a GPU too). A level
    without matches adds 0. Everything is float32, whatever the autocast around it.

    Args:
        assigner: who answers for which target.
        objectness: loss of logits (n,) against targets (n,) in [0, 1]; reduction "none".
        classification: the same for (n, C).
        gains: factor on each term.
        box_overlap: the overlap that box loss and objectness target use.
        label_smoothing: e in [0, 1) moves class targets to e/2 and 1 - e/2.
        level_balance: weight of each level's objectness, fine to coarse; None for
            4, 1, 0.4 on three levels, else the first L of 4, 1, 0.25, 0.06, 0.02.
        claimed_twice: objectness target of a cell that several targets claim.

    Raises:
        ValueError: a loss with another reduction; label_smoothing out of range.
    """

    def __init__(
        self,
        *,
        assigner: Assigner,
        objectness: nn.Module,
        classification: nn.Module,
        gains: Gains,
        box_overlap: OverlapKind = "ciou",
        label_smoothing: float = 0.0,
        level_balance: Sequence[float] | None = None,
        claimed_twice: ClaimRule = "best",
    ) -> None:
        super().__init__()
        for name, loss in (("objectness", objectness), ("classification", classification)):
            if getattr(loss, "reduction", None) != "none":
                raise ValueError(f"DetectionCriterion: {name} must have reduction='none'")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        self.assigner = assigner
        self.objectness = objectness
        self.classification = classification
        self.gains = gains
        self.box_overlap: OverlapKind = box_overlap
        self.label_smoothing = label_smoothing
        self.level_balance = None if level_balance is None else tuple(level_balance)
        self.claimed_twice: ClaimRule = claimed_twice

    def forward(self, predictions: Predictions, targets: Targets) -> LossTerms:
        """Return the terms for levels (B, A, H, W, 5 + C) and T targets; T may be 0.

        Raises:
            ValueError: a level has no balance weight.
        """
        assignment = self.assigner(predictions, targets)
        with torch.autocast(predictions.levels[0].device.type, enabled=False):
            terms = [
                self._level_terms(predictions, index, level, targets)
                for index, level in enumerate(assignment.levels)
            ]
        box, objectness, classification = (torch.stack(term) for term in zip(*terms, strict=True))
        balance = balance_of_levels(len(terms), self.level_balance)
        weighted = [weight * loss for weight, loss in zip(balance, objectness, strict=True)]
        return LossTerms(
            box=self.gains.box * box.sum(),
            objectness=self.gains.objectness * torch.stack(weighted).sum(),
            classification=self.gains.classification * classification.sum(),
            num_foreground=assignment.num_foreground,
            batch_size=len(predictions.levels[0]),
        )

    def _level_terms(
        self, predictions: Predictions, index: int, matches: LevelAssignment, targets: Targets
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return box, objectness and class loss of one level, scalars without gains."""
        raw, stride = predictions.levels[index], predictions.strides[index]
        if is_counting_free(raw.device):
            matches = drop_invalid(matches)
        cells = (matches.image, matches.anchor, matches.row, matches.column)
        matched = at_least_float32(raw[cells])  # (M, 5 + C)
        anchors = predictions.anchors[index].to(matched)[matches.anchor] / stride
        truths = _boxes_in_cell(targets.boxes.to(matched)[matches.target], matches, stride)
        overlap = box_overlap(_decode_in_cell(matched, anchors), truths, self.box_overlap)
        wanted = self._objectness_target(raw.shape[:4], matches, overlap.detach())
        objectness = self.objectness(at_least_float32(raw[..., 4]), wanted).mean()
        class_loss = self._class_loss(matched[:, 5:], targets.labels[matches.target], matches.valid)
        return _masked_mean(1 - overlap, matches.valid), objectness, class_loss

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

    def _class_loss(self, logits: Tensor, labels: Tensor, valid: Tensor) -> Tensor:
        """Return the mean loss of logits (M, C) whose true classes are labels (M,)."""
        num_classes = logits.shape[1]
        if num_classes == 1:
            return logits.new_zeros(())
        is_class = labels[:, None] == torch.arange(num_classes, device=labels.device)
        low = self.label_smoothing / 2
        wanted = torch.where(is_class, 1 - low, low).to(logits.dtype)
        losses: Tensor = self.classification(logits, wanted)
        return _masked_mean(losses.mean(dim=1), valid)


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


def _masked_mean(values: Tensor, valid: Tensor) -> Tensor:
    """Return the mean of values (M,) where valid; 0 if nowhere."""
    return torch.where(valid, values, 0.0).sum() / valid.sum().clamp(min=1)
