"""`DetectionCriterion`: from raw predictions and targets to the terms of the loss.

`models/assign` decides which cells a target is assigned to; `build.py` builds it from the settings;
`branch.py` sums a term.

Legend: B images, A predictions per cell, H W cells of a level, L levels, K channels, C classes, M
matches.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from models.assign.assigner import Assigner
from models.assign.cells import is_counting_free
from models.losses.coding import CodingL1Loss
from models.losses.criterion.box_term import BoxTerm
from models.losses.criterion.branch import Branch, BranchInput, TargetKind
from models.losses.criterion.matched_cells import (
    ClaimRule,
    boxes_in_cell,
    drop_invalid,
    spread_over_cells,
)
from models.losses.fused import at_least_float32
from utils.structures.batch import Targets
from utils.structures.decoder import Encoder
from utils.structures.iou import box_overlap
from utils.structures.loss_terms import LossTerms
from utils.structures.predictions import Assignment, LevelAssignment, Predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class LossParts:
    """The parts of all terms: losses of matched boxes by level, and the input of each branch.

    `box_losses` has those of each term on boxes by name, `box_targets` the soft targets of the
    matches. `objectness` is None for a head without it, `classification` with a single class beside
    objectness whose target equals that of objectness.
    """

    box_losses: Mapping[str, tuple[Tensor, ...]]
    box_valid: tuple[Tensor, ...]
    box_targets: tuple[Tensor, ...]
    objectness: BranchInput | None
    classification: BranchInput | None
    assignment: Assignment

    @property
    def branches(self) -> dict[str, BranchInput]:
        """The inputs that there are, by name of their branch."""
        given = {"objectness": self.objectness, "classification": self.classification}
        return {name: one for name, one in given.items() if one is not None}

    @property
    def num_foreground(self) -> Tensor:
        """Number of matches of all levels, a scalar on the device."""
        return self.assignment.num_foreground


class DetectionCriterion(nn.Module):
    """Box, objectness and class loss of a detection head, and losses of how it codes boxes.

    * box: the loss of matched boxes, in grid units relative to the cell (`box_term.py`).
    * distribution, l1: losses of the coded values of the same boxes (`coding.py`), where given.
    * objectness: over all cells, a level weighted by its balance. The target of a matched cell is
      the overlap of its box with its ground truth, clipped at 0 and without gradient, or 1; 0
      elsewhere.
    * classification: over matches and classes; absent with one class. The target of the true class
      is 1, the overlap, or the quality that the assigner gives the match.

    Without objectness (Lin et al. 2017, arXiv 1708.02002) the class loss is over all cells and
    classes, one class too: the target of a matched cell's true class is as above, 0 elsewhere.
    Cells that the assigner ignores count in neither loss over all cells.

    With means, BCE and CIoU the loss with objectness is the recipe of YOLOv5
    (docs/recipe_sources.md#loss). Ours: a cell claimed by several targets takes the best overlap
    unless `claimed_twice` is "last" (the last match in the assigner's order, on a GPU too). A level
    without matches adds 0. Everything is float32, also under autocast.

    Args:
        assigner: which cells are assigned to which target.
        box: term of matched boxes.
        objectness: term of the logits of all cells; None for a head without objectness.
        classification: term of the class logits, of matched cells or without objectness of all.
        level_balance: weight of each level's objectness, fine to coarse; None for
            4, 1, 0.4 on three levels, else the first L of 4, 1, 0.25, 0.06, 0.02.
        claimed_twice: target of a cell that several targets claim; without objectness with "best"
            it is assigned to the classes of all of them.
        coding: terms on coded values by name, for heads whose decoder has an inverse.
    """

    def __init__(
        self,
        *,
        assigner: Assigner,
        box: BoxTerm,
        objectness: Branch | None,
        classification: Branch,
        level_balance: Sequence[float] | None = None,
        claimed_twice: ClaimRule = "best",
        coding: Mapping[str, BoxTerm] | None = None,
    ) -> None:
        super().__init__()
        self.assigner = assigner
        self.box = box
        self.objectness = objectness
        self.classification = classification
        self.level_balance = None if level_balance is None else tuple(level_balance)
        self.claimed_twice: ClaimRule = claimed_twice
        self.coding = nn.ModuleDict(coding or {})

    def begin_epoch(self, epoch: int) -> None:
        """Switch terms that belong to some epochs only; `epoch` counts from 0."""
        for module in self.coding.modules():
            if isinstance(module, CodingL1Loss):
                module.begin_epoch(epoch)

    def forward(self, predictions: Predictions, targets: Targets) -> LossTerms:
        """Return the terms for levels (B, A, H, W, K) and T targets; T may be 0.

        Raises:
            ValueError: as `parts` does.
        """
        with torch.autocast(predictions.levels[0].device.type, enabled=False):
            parts = self.parts(predictions, targets)
            positives = parts.num_foreground
            terms = {
                name: term(parts.box_losses[name], parts.box_valid, parts.box_targets)
                for name, term in self.box_terms.items()
            }
            absent = terms["box"].new_zeros(())
            for name, branch in self.branches.items():
                given = parts.branches.get(name)
                terms[name] = absent if given is None else branch(given, positives)
            return LossTerms.of(
                terms, num_foreground=positives, batch_size=len(predictions.levels[0])
            )

    @property
    def branches(self) -> dict[str, Branch]:
        """The terms on logits by name, of which the head has an output each."""
        given = {"objectness": self.objectness, "classification": self.classification}
        return {name: branch for name, branch in given.items() if branch is not None}

    @property
    def box_terms(self) -> dict[str, BoxTerm]:
        """The terms on matched boxes by name."""
        return {"box": self.box} | {name: cast(BoxTerm, t) for name, t in self.coding.items()}

    def parts(self, predictions: Predictions, targets: Targets) -> LossParts:
        """Return what the terms are computed from; the same arguments as `forward`.

        Raises:
            ValueError: a level has no balance weight, only one of head and criterion has
                objectness, targets are to be aligned and the assigner gives no quality, or coded
                values have a loss and the decoder of the head has no inverse.
        """
        if predictions.has_objectness != (self.objectness is not None):
            raise ValueError("head and criterion must both have objectness or neither")
        assignment = self.assigner(predictions, targets)
        levels = [
            self._level_parts(predictions, index, level, targets)
            for index, level in enumerate(assignment.levels)
        ]
        ones = (1.0,) * len(levels)
        objectness = None
        if predictions.has_objectness:
            balance = balance_of_levels(len(levels), self.level_balance)
            objectness = _joined([level.objectness for level in levels], balance)
        return LossParts(
            box_losses={
                name: tuple(level.box_losses[name] for level in levels) for name in self.box_terms
            },
            box_valid=tuple(level.box_valid for level in levels),
            box_targets=tuple(level.box_targets for level in levels),
            objectness=objectness,
            classification=_joined([level.classification for level in levels], ones)
            if self._has_class_term(predictions)
            else None,
            assignment=assignment,
        )

    def _has_class_term(self, predictions: Predictions) -> bool:
        """With one class the class target equals that of objectness, unless it is a quality."""
        is_alone = predictions.num_classes == 1 and predictions.has_objectness
        return not is_alone or self.classification.target == "aligned"

    def _level_parts(
        self, predictions: Predictions, index: int, matches: LevelAssignment, targets: Targets
    ) -> "_LevelParts":
        """Return what one level gives to the terms."""
        raw, stride = predictions.levels[index], predictions.strides[index]
        if is_counting_free(raw.device):
            matches = drop_invalid(matches)
        cells = (matches.image, matches.anchor, matches.row, matches.column)
        matched = predictions.split(at_least_float32(raw[cells]))  # (M, ...)
        every = predictions.split(raw)  # (B, A, H, W, ...)
        anchors = predictions.anchors_of(index)
        if anchors is not None:
            anchors = anchors.to(matched.box)[matches.anchor] / stride
        boxes = predictions.decoder.boxes(matched.box, raw.new_zeros(()), anchors, 1)
        truths = boxes_in_cell(targets.boxes.to(matched.box)[matches.target], matches, stride)
        overlap = box_overlap(boxes, truths, self.box.kind).detach().clamp(min=0)
        labels = targets.labels[matches.target]
        is_class = labels[:, None] == torch.arange(predictions.num_classes, device=labels.device)
        class_wanted = _target_of(matches, overlap, self.classification.target)
        class_targets = torch.where(is_class, class_wanted[:, None], 0.0)
        if self.objectness is None or every.objectness is None:
            objectness = None
            classes = self._over_cells(every.classes, matches, class_targets)
        else:
            wanted = _target_of(matches, overlap, self.objectness.target)
            objectness = self._over_cells(every.objectness, matches, wanted)
            classes = _Elements(matched.classes, class_targets, matches.valid)
        # Without anchors a cell is the unit of length.
        units = boxes.new_ones(len(boxes), 2) if anchors is None else anchors
        box_losses = {"box": self.box.loss(boxes, truths, units)}
        if self.coding:
            codes = _encoder(predictions).encode(truths)
            for name, term in self.coding.items():
                box_losses[name] = cast(BoxTerm, term).loss(matched.box, codes)
        return _LevelParts(
            box_losses=box_losses,
            box_valid=matches.valid,
            box_targets=class_wanted,
            objectness=objectness,
            classification=classes,
        )

    def _over_cells(self, logits: Tensor, matches: LevelAssignment, wanted: Tensor) -> "_Elements":
        """Return logits (B, A, H, W) or (B, A, H, W, C) as rows, `wanted` (M,) or (M, C) at the
        matches, 0 elsewhere; ignored cells do not count.
        """
        targets = spread_over_cells(wanted, matches, logits.shape[:4], self.claimed_twice)
        counted = None if matches.ignored is None else ~matches.ignored.flatten()
        return _Elements(at_least_float32(logits).flatten(0, 3), targets, counted)


class _Elements(NamedTuple):
    """logits and targets (N,) or (N, C) of one level, and which rows count (N,) or None for all."""

    logits: Tensor
    targets: Tensor
    counted: Tensor | None


class _LevelParts(NamedTuple):
    """Box losses (M,) of one level by term, which count (M,), the soft targets of the matches (M,),
    and the elements of the branches.
    """

    box_losses: dict[str, Tensor]
    box_valid: Tensor
    box_targets: Tensor
    objectness: _Elements | None
    classification: _Elements


def _joined(
    levels: Sequence[_Elements | None], level_weights: tuple[float, ...]
) -> BranchInput | None:
    """Return the elements of all levels as the input of a branch, None where a level has none."""
    present = [level for level in levels if level is not None]
    if len(present) < len(levels):
        return None
    counted = tuple(level.counted for level in present if level.counted is not None)
    return BranchInput(
        logits=tuple(level.logits for level in present),
        targets=tuple(level.targets for level in present),
        counted=counted if counted else None,
        level_weights=level_weights,
    )


def _encoder(predictions: Predictions) -> Encoder:
    if not isinstance(predictions.decoder, Encoder):
        raise ValueError("a loss of coded values needs a head whose decoder has an inverse")
    return predictions.decoder


def _target_of(matches: LevelAssignment, overlap: Tensor, kind: TargetKind) -> Tensor:
    """Return the targets (M,) of matches from the overlap (M,) of their boxes."""
    if kind == "hard":
        return torch.ones_like(overlap)
    if kind == "iou":
        return overlap
    if matches.quality is None:
        raise ValueError("target 'aligned' needs an assigner that gives matches a quality")
    return matches.quality.to(overlap)


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
