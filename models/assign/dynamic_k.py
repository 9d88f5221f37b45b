"""Assignment by minimum cost, with a number of cells per target (k) from the predictions.

The cost of a pair of cell and target is that of the losses; k is the sum of the target's best IoUs.
SimOTA and RTMDet's soft labels differ in the cost and in the candidates.

Legend: B images, T targets, K targets in a chunk, P cells of all levels, C classes, R
ranked cells of a target.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch's own documentation uses
from torch import Tensor

from models.assign.cells import Cells, assignment_of, ranked
from utils.structures.batch import Targets
from utils.structures.iou import box_overlap
from utils.structures.predictions import Assignment, Predictions

_BOX_WEIGHT = 3.0
"""Weight of the box cost, as published for both."""
_LOG_FLOOR = -100.0
"""Of a logarithm, as in torch's cross-entropy of probabilities."""
_FARTHEST = 30.0
"""In strides; keeps the cost, up to 10^30, finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """K targets and all cells of their images: boxes (K, 4), image (K,), labels (K,), IoU of
    the predicted boxes (K, P), and which cells are candidates of any target of the image (K, P).
    """

    boxes: Tensor
    image: Tensor
    labels: Tensor
    overlap: Tensor
    candidates: Tensor


class DynamicKAssigner(ABC):
    """Assigns a target to its k candidates of lowest cost; k is the sum of its largest IoUs.

    k is the whole part of the sum of the `num_overlaps` largest IoUs of its predicted boxes. A cell
    chosen by several targets is assigned to the target of the image with the lowest cost, as
    published, even if that one had enough cells; the others get no replacement, so a target may end
    with none. Ties go to the first cell and the first target. The quality of a match is the IoU of
    its predicted box with its target. A target without area matches nothing.
    """

    num_overlaps: int
    offset: float

    @abstractmethod
    def candidates(self, cells: Cells, boxes: Tensor) -> Tensor:
        """Return (K, P) bool: the candidate cells of boxes (K, 4) in their images."""

    @abstractmethod
    def costs(self, cells: Cells, classes: "ClassCosts", pairs: Pairs) -> Tensor:
        """Return the cost (K, P), not below 0, of every pair."""

    @abstractmethod
    def class_costs(self, predictions: Predictions, cells: Cells) -> "ClassCosts":
        """Return the part of the cost that does not depend on the box."""

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Targets) -> Assignment:
        """Return one entry per cell of every level (none without targets), no gradient.

        Raises:
            ValueError: the head has anchors.
        """
        cells = Cells.of(predictions, offset=self.offset)
        target = targets.labels.new_full((cells.num_images, len(cells)), -1)
        if not len(targets):
            return assignment_of(
                predictions, targets, target, targets.boxes.new_zeros(target.shape)
            )
        target = self._targets_of_cells(cells, self.class_costs(predictions, cells), targets)
        boxes = targets.boxes[target.clamp(min=0)]
        overlap = box_overlap(cells.decoded.boxes, boxes, "iou")
        quality = torch.where(target >= 0, overlap, 0.0)
        return assignment_of(predictions, targets, target, quality)

    def _targets_of_cells(self, cells: Cells, classes: "ClassCosts", targets: Targets) -> Tensor:
        """Return the target of each cell, (B, P), -1 for none."""
        has_area = (targets.boxes[:, 2:] > targets.boxes[:, :2]).all(dim=1)
        candidates = self._candidates_of_images(cells, targets, has_area)
        num_cells, num_targets = candidates.numel(), len(targets)
        blank = targets.labels.new_zeros(num_cells)
        takers, taker = blank, blank - 1
        # Cost and target in one number, so that the minimum is the first target of lowest cost.
        cheapest = blank + torch.iinfo(torch.int64).max
        own = torch.arange(num_targets, device=blank.device)
        for chunk in cells.chunks(num_targets):
            boxes, image = targets.boxes[chunk], targets.image_index[chunk]
            overlap = cells.overlaps(boxes, image)
            is_candidate = candidates[image] & has_area[chunk, None]
            overlap = torch.where(is_candidate, overlap, 0.0)
            pairs = Pairs(
                boxes=boxes,
                image=image,
                labels=targets.labels[chunk],
                overlap=overlap,
                candidates=is_candidate,
            )
            cost = torch.where(is_candidate, self.costs(cells, classes, pairs), torch.inf)
            first_cell = image[:, None] * len(cells)
            key = (cost + 0.0).view(torch.int32).long() * num_targets + own[chunk, None]
            place = first_cell + torch.arange(len(cells), device=image.device)
            cheapest = cheapest.scatter_reduce(0, place.flatten(), key.flatten(), "amin")
            chosen, is_taken = self._cheapest(cost, overlap)
            place = (first_cell + chosen).flatten()
            takers = takers.scatter_add(0, place, is_taken.long().flatten())
            names = torch.where(is_taken, own[chunk, None], -1)
            taker = taker.scatter_reduce(0, place, names.flatten(), "amax")
        return torch.where(takers > 1, cheapest % num_targets, taker).view_as(candidates)

    def _candidates_of_images(self, cells: Cells, targets: Targets, has_area: Tensor) -> Tensor:
        """Return (B, P) bool: whether the cell is a candidate of any target of its image."""
        found = torch.zeros(
            cells.num_images, len(cells), dtype=torch.uint8, device=targets.boxes.device
        )
        for chunk in cells.chunks(len(targets)):
            own = self.candidates(cells, targets.boxes[chunk]) & has_area[chunk, None]
            image = targets.image_index[chunk, None].expand_as(own)
            found = found.scatter_reduce(0, image, own.to(torch.uint8), "amax")
        return found > 0

    def _cheapest(self, cost: Tensor, overlap: Tensor) -> tuple[Tensor, Tensor]:
        """Return places (K, R) in tables (K, P) by ascending cost, and which are taken."""
        count = min(self.num_overlaps, overlap.shape[1])
        wanted = overlap.topk(count, dim=1).values.sum(dim=1).floor().clamp(min=1)
        place = ranked(cost, count, largest=False)
        is_taken = torch.arange(count, device=cost.device) < wanted[:, None]
        return place, is_taken & cost.gather(1, place).isfinite()


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassCosts:
    """Classification costs: background (B, P), change by target class and logits (B, C, P)."""

    background: Tensor
    change: Tensor
    logits: Tensor


class SimOtaAssigner(DynamicKAssigner):
    """SimOTA: sum over classes of BCE(sqrt(class score * objectness), is it the class) - 3 ln IoU.

    Two versions are published, and both are here:

    * `box_or_center`: a candidate is within any box, or within `radius` strides of any centre
      along both axes. Pairs not in both of their own cost 1e5 more. Ge et al. 2021, arXiv
      2107.08430; YOLOX up to 0.3.0 with radius 2.5.
    * `center`: a candidate is within `radius` strides of any centre. Pairs outside their own cost
      1e6 more. YOLOX of 2023 and later with radius 1.5, for objects that contain no centre of a
      cell.

    Ours: for a head without objectness the class score itself is used.

    Args:
        candidates: which version.
        radius: half the side of the square around a centre, in strides of the cell; None takes the
            published one.
        num_overlaps: how many of the largest overlaps are summed to k.
    """

    offset = 0.5

    def __init__(
        self,
        *,
        candidates: str = "box_or_center",
        radius: float | None = None,
        num_overlaps: int = 10,
    ) -> None:
        published = {"box_or_center": 2.5, "center": 1.5}
        if candidates not in published:
            raise ValueError(
                f"SimOtaAssigner: candidates must be box_or_center or center, got {candidates!r}"
            )
        self.is_center_only = candidates == "center"
        self.radius = published[candidates] if radius is None else radius
        self.num_overlaps = num_overlaps
        if self.radius <= 0 or num_overlaps < 1:
            raise ValueError(
                "SimOtaAssigner: radius above 0 and num_overlaps from 1 are needed, "
                f"got {radius} and {num_overlaps}"
            )

    def candidates(self, cells: Cells, boxes: Tensor) -> Tensor:
        """Return (K, P) bool, see `DynamicKAssigner`."""
        near = self._are_near(cells, boxes)
        return near if self.is_center_only else near | cells.are_inside(boxes)

    def class_costs(self, predictions: Predictions, cells: Cells) -> ClassCosts:
        """Return cross-entropies of the scores."""
        decoded = cells.decoded
        scores = decoded.class_scores
        if predictions.has_objectness:
            scores = (scores * decoded.objectness[..., None]).sqrt()
        scores = scores.transpose(1, 2).contiguous()
        as_class = -scores.log().clamp(min=_LOG_FLOOR)
        as_background = -(-scores).log1p().clamp(min=_LOG_FLOOR)
        return ClassCosts(
            background=as_background.sum(dim=1), change=as_class - as_background, logits=scores
        )

    def costs(self, cells: Cells, classes: ClassCosts, pairs: Pairs) -> Tensor:
        """Return the cost (K, P) of every pair."""
        cost = classes.background[pairs.image] + classes.change[pairs.image, pairs.labels]
        cost = cost.clamp(min=0) - _BOX_WEIGHT * (pairs.overlap + 1e-8).log()
        near = self._are_near(cells, pairs.boxes)
        if self.is_center_only:
            return (cost + torch.where(near, 0.0, 1e6)).clamp(min=0)
        is_own = near & cells.are_inside(pairs.boxes)
        return (cost + torch.where(is_own, 0.0, 1e5)).clamp(min=0)

    def _are_near(self, cells: Cells, boxes: Tensor) -> Tensor:
        """Return (K, P) bool: whether a cell's centre is within the square around that of a box."""
        x, y = ((boxes[:, :2] + boxes[:, 2:]) / 2)[:, :, None].unbind(dim=1)
        reach = self.radius * cells.stride
        return ((cells.x - x).abs() < reach) & ((cells.y - y).abs() < reach)


class SoftLabelAssigner(DynamicKAssigner):
    """RTMDet's dynamic soft labels: quality focal loss against the IoU - 3 ln IoU + 10^(d - 3).

    d is the distance of a cell's point from the centre of the target in strides of the cell; a
    candidate is within any box. Source: Lyu et al. 2022, arXiv 2212.07784, section 3.3.

    Args:
        points: position of the points in their cells: center, or corner (top left), as in RTMDet.
        num_overlaps: how many of the largest overlaps are summed to k.
    """

    def __init__(self, *, points: str = "center", num_overlaps: int = 13) -> None:
        offsets = {"center": 0.5, "corner": 0.0}
        if points not in offsets or num_overlaps < 1:
            raise ValueError(
                "SoftLabelAssigner: points must be center or corner, num_overlaps from 1; "
                f"got {points!r} and {num_overlaps}"
            )
        self.offset = offsets[points]
        self.num_overlaps = num_overlaps

    def candidates(self, cells: Cells, boxes: Tensor) -> Tensor:
        """Return (K, P) bool, see `DynamicKAssigner`."""
        return cells.are_inside(boxes)

    def class_costs(self, predictions: Predictions, cells: Cells) -> ClassCosts:
        """Return the quality focal losses of the scores."""
        levels = [
            predictions.split(raw).classes.float().flatten(1, 3) for raw in predictions.levels
        ]
        logits = torch.cat(levels, dim=1).transpose(1, 2).contiguous()
        as_background = F.softplus(logits) * logits.sigmoid().square()
        return ClassCosts(background=as_background.sum(dim=1), change=-as_background, logits=logits)

    def costs(self, cells: Cells, classes: ClassCosts, pairs: Pairs) -> Tensor:
        """Return the cost (K, P) of every pair."""
        logits = classes.logits[pairs.image, pairs.labels]
        others = classes.background[pairs.image] + classes.change[pairs.image, pairs.labels]
        miss = (pairs.overlap - logits.sigmoid()).square_()
        own = (F.softplus(logits) - logits * pairs.overlap).mul_(miss)
        x, y = ((pairs.boxes[:, :2] + pairs.boxes[:, 2:]) / 2)[:, :, None].unbind(dim=1)
        squared = (cells.x - x).square() + (cells.y - y).square()
        distance = (squared.sqrt() / cells.stride - 3).clamp(max=_FARTHEST)
        box = _BOX_WEIGHT * (pairs.overlap + 1e-7).log()
        return (others.clamp(min=0) + own - box + torch.pow(10.0, distance)).clamp(min=0)
