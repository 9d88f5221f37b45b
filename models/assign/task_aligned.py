"""Task-aligned assignment: by the score and the box of a cell together.

Legend: B images, T targets, K targets in a chunk, P cells of all levels, R candidates of a
target.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.assign.cells import Cells, assignment_of, ranked
from utils.structures.batch import Targets
from utils.structures.predictions import Assignment, Predictions


class TaskAlignedAssigner:
    """Assigns a target to the cells with the best alignment score^alpha IoU^beta inside its box.

    The score is that of the target's class (times the objectness, if the head has one), the IoU
    that of the predicted box. A target takes the `topk` best of the cells whose centres are inside
    its box; none of alignment 0. A cell taken by several targets is assigned to the one with the
    largest IoU, ties to the first listed; of equally aligned cells the first one is taken (fine
    levels first, then row by row). The quality of a match is alignment / largest alignment of the
    target * largest IoU of the target, over the cells it kept.

    Source: Feng et al. 2021, arXiv 2108.07755; the mask before the topk as in its successors. Ours:

    * for the mask alone, sides below `min_side` cells of the finest level grow to that about the
      centre: a target smaller than a cell may contain no centre at all.
    * with `rescue` a target left without candidates takes the best aligned cell of the image, or
      the nearest where no predicted box touches it. A target may still lose its cells to others.
    * only targets that took a cell compete for it, and a target without area matches nothing.

    Args:
        alpha: exponent of the score, at least 0.
        beta: exponent of the IoU, above 0.
        topk: most cells of a target.
        min_side: in cells of the finest level; 0 grows nothing.
        rescue: every target gets a candidate.
        eps: added to the largest alignment of a target, which bounds the quality of matches that
            hardly overlap; TOOD's code has 1e-7, later ones 1e-9.
    """

    def __init__(
        self,
        *,
        alpha: float = 0.5,
        beta: float = 6.0,
        topk: int = 10,
        min_side: float = 2.0,
        rescue: bool = True,
        eps: float = 1e-9,
    ) -> None:
        if alpha < 0 or beta <= 0 or topk < 1 or min_side < 0:
            raise ValueError(
                "TaskAlignedAssigner: alpha and min_side from 0, beta above 0 and topk from 1 are "
                f"needed, got {alpha}, {min_side}, {beta} and {topk}"
            )
        self.alpha = alpha
        self.beta = beta
        self.topk = topk
        self.min_side = min_side
        self.rescue = rescue
        self.eps = eps

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Targets) -> Assignment:
        """Return one entry per cell of every level (none without targets), no gradient.

        Raises:
            ValueError: the head has anchors.
        """
        cells = Cells.of(predictions)
        target = targets.labels.new_full((cells.num_images, len(cells)), -1)
        quality = targets.boxes.new_zeros(target.shape)
        if len(targets):
            smallest_side = self.min_side * min(predictions.strides)
            claims = self._claims(cells, targets, smallest_side)
            target, quality = self._settled(cells, targets, claims)
        return assignment_of(predictions, targets, target, quality)

    def _claims(self, cells: Cells, targets: Targets, smallest_side: float) -> "_Claims":
        """Return the candidate cells of each target."""
        decoded = cells.decoded
        scores = (decoded.class_scores * decoded.objectness[..., None]).transpose(1, 2)
        num_classes = scores.shape[1]
        scores = scores.flatten(0, 1).pow(self.alpha)
        parts = []
        for chunk in cells.chunks(len(targets)):
            boxes, image = targets.boxes[chunk], targets.image_index[chunk]
            overlap = cells.overlaps(boxes, image)
            # torch has fast squares and cubes, and a slow power of any number.
            alignment = overlap.square().pow_(self.beta / 2)
            own = image * num_classes + targets.labels[chunk]
            alignment.mul_(scores.index_select(0, own))
            is_inside = cells.are_inside(_grown(boxes, smallest_side))
            candidates = torch.where(is_inside, alignment, 0.0)
            is_left = candidates.amax(dim=1, keepdim=True) == 0
            if self.rescue:
                candidates = torch.where(is_left, _fallback(cells, boxes, alignment), candidates)
            place = ranked(candidates, self.topk, largest=True)
            is_wanted = candidates.gather(1, place) > 0
            is_wanted[:, 1:] &= ~is_left  # a rescue is one cell
            has_area = (boxes[:, 2:] > boxes[:, :2]).all(dim=1)
            parts.append(
                (
                    image[:, None] * len(cells) + place,
                    alignment.gather(1, place),
                    overlap.gather(1, place),
                    is_wanted & has_area[:, None],
                )
            )
        place, alignment, overlap, wanted = (torch.cat(part) for part in zip(*parts, strict=True))
        return _Claims(place=place, alignment=alignment, overlap=overlap, wanted=wanted)

    def _settled(self, cells: Cells, targets: Targets, claims: "_Claims") -> tuple[Tensor, Tensor]:
        """Return target, -1 for none, and quality of every cell, (B, P)."""
        shape = (cells.num_images, len(cells))
        kept = _keeps(claims, torch.Size(shape).numel())
        alignment = torch.where(kept, claims.alignment, 0.0)
        largest = torch.where(kept, claims.overlap, 0.0).amax(dim=1, keepdim=True)
        quality = alignment / (alignment.amax(dim=1, keepdim=True) + self.eps) * largest
        own = torch.arange(len(targets), device=kept.device)[:, None].expand_as(kept)
        place = claims.place.flatten()
        target = own.new_full(shape, -1).flatten()
        target = target.scatter_reduce(0, place, torch.where(kept, own, -1).flatten(), "amax")
        blank = quality.new_zeros(target.shape)
        quality = blank.scatter_reduce(0, place, quality.flatten(), "amax")
        return target.view(shape), quality.view(shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claims:
    """place (T, R) in (B, P) flattened, alignment and IoU there, and which the target takes."""

    place: Tensor
    alignment: Tensor
    overlap: Tensor
    wanted: Tensor


def _grown(boxes: Tensor, smallest_side: float) -> Tensor:
    """Return boxes (K, 4) whose sides below `smallest_side` px are grown to it."""
    missing = (smallest_side - (boxes[:, 2:] - boxes[:, :2])).clamp(min=0) / 2
    return torch.cat((boxes[:, :2] - missing, boxes[:, 2:] + missing), dim=1)


def _fallback(cells: Cells, boxes: Tensor, alignment: Tensor) -> Tensor:
    """Return (K, P) the alignment in the whole image, or nearness where that is 0 everywhere."""
    x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, :, None].unbind(dim=1)
    nearness = 1 / (1 + (cells.x - x).square() + (cells.y - y).square())
    is_untouched = alignment.amax(dim=1, keepdim=True) == 0
    return torch.where(is_untouched, nearness, alignment)


def _keeps(claims: _Claims, num_places: int) -> Tensor:
    """Return (T, R) bool: the cells a target keeps; the largest IoU wins, then the first target."""
    place = claims.place.flatten()
    bids = torch.where(claims.wanted, claims.overlap, -1.0).flatten()
    best = bids.new_full((num_places,), -1.0).scatter_reduce(0, place, bids, "amax")
    leads = claims.wanted & (bids == best[place]).view_as(claims.wanted)
    num_targets = len(claims.place)
    own = torch.arange(num_targets, device=place.device)[:, None].expand_as(leads)
    candidates = torch.where(leads, own, num_targets)
    first = candidates.new_full((num_places,), num_targets)
    first = first.scatter_reduce(0, place, candidates.flatten(), "amin")
    return leads & (first[place].view_as(own) == own)
