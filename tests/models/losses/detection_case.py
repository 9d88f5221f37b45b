"""Predictions and targets to try the criterion on, and the same loss written with loops."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from models.assign import AnchorRatioAssigner
from models.heads.detect import CellDecoder
from models.losses import Branch, DetectionCriterion
from models.losses.box import OverlapLoss
from models.losses.criterion.box_term import BoxTerm
from tests.oracles import SlowMatch, slow_matches, slow_overlap
from utils.structures.batch import Targets
from utils.structures.loss_terms import LossTerms
from utils.structures.predictions import Predictions

PUBLISHED_BALANCE = {3: (4.0, 1.0, 0.4), 2: (4.0, 1.0), 4: (4.0, 1.0, 0.25, 0.06)}


@dataclass(frozen=True)
class Case:
    """One batch: raw levels that want a gradient, and targets."""

    predictions: Predictions
    targets: Targets


def make_case(
    *, boxes: list[list[float]], labels: list[int], images: list[int], num_classes: int, seed: int
) -> Case:
    """Two images of 64 x 96 pixels, three levels of two anchors, random double predictions."""
    generator = torch.Generator().manual_seed(seed)
    strides = (8, 16, 32)
    levels = tuple(
        torch.randn(
            2, 2, 64 // s, 96 // s, 5 + num_classes, generator=generator, dtype=torch.float64
        ).requires_grad_()
        for s in strides
    )
    anchors = torch.tensor([[[8, 10], [20, 14]], [[20, 30], [44, 22]], [[50, 60], [90, 40]]])
    return Case(
        predictions=Predictions(
            levels=levels, anchors=anchors.float(), strides=strides, decoder=CellDecoder()
        ),
        targets=Targets(
            boxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
            labels=torch.tensor(labels, dtype=torch.int64),
            image_index=torch.tensor(images, dtype=torch.int64),
        ),
    )


def crowd(num_classes: int = 3) -> Case:
    """Five targets in two images, some of which claim the same cells."""
    first = [10.0, 12.0, 34.0, 30.0]
    same_cells = [11.0, 12.0, 36.0, 29.0]
    boxes = [first, same_cells, [40.0, 8.0, 90.0, 44.0], [2.0, 50.0, 10.0, 60.0], first]
    labels = [label % num_classes for label in (0, 2, 1, 0, 1)]
    images = [0, 0, 0, 1, 1]
    return make_case(boxes=boxes, labels=labels, images=images, num_classes=num_classes, seed=0)


def empty(num_classes: int = 3) -> Case:
    return make_case(boxes=[], labels=[], images=[], num_classes=num_classes, seed=1)


def values(terms: LossTerms) -> list[float]:
    return [terms["box"].item(), terms["objectness"].item(), terms["classification"].item()]


def make_criterion(**changes: object) -> DetectionCriterion:
    """The criterion with every gain 1 and plain BCE, but for `changes`; gains are box, objectness,
    classification.
    """
    given: dict[str, Any] = {"assigner": AnchorRatioAssigner(max_ratio=4.0), **changes}
    gains = given.pop("gains", (1.0, 1.0, 1.0))
    objectness = given.pop("objectness", nn.BCEWithLogitsLoss(reduction="none"))
    classification = given.pop("classification", nn.BCEWithLogitsLoss(reduction="none"))
    smoothing = given.pop("label_smoothing", 0.0)
    return DetectionCriterion(
        box=BoxTerm(OverlapLoss(given.pop("box_overlap", "ciou")), gain=gains[0]),
        objectness=Branch(objectness, gain=gains[1], target="iou"),
        classification=Branch(classification, gain=gains[2], label_smoothing=smoothing),
        **given,
    )


def slow_terms(case: Case, *, claimed_twice: str, label_smoothing: float) -> list[float]:
    """Box, objectness and class loss with BCE, CIoU and published balance; one cell at a time."""
    box = objectness = classes = 0.0
    levels = case.predictions.levels
    for index, raw in enumerate(levels):
        matches = _matches_of_level(case, index)
        wanted = torch.zeros(raw.shape[:4], dtype=torch.float64)
        overlaps, class_losses = [], []
        for match in matches:
            cell = (match.image, match.anchor, match.row, match.column)
            overlap = _overlap(case, index, match)
            overlaps.append(overlap)
            quality = max(overlap, 0.0)
            if claimed_twice == "best":
                quality = max(quality, wanted[cell].item())
            wanted[cell] = quality
            label = int(case.targets.labels[match.target])
            class_losses += [
                _bce(logit, 1 - label_smoothing / 2 if i == label else label_smoothing / 2)
                for i, logit in enumerate(raw[cell][5:].tolist())
            ]
        cells = zip(raw[..., 4].flatten().tolist(), wanted.flatten().tolist(), strict=True)
        losses = [_bce(logit, target) for logit, target in cells]
        objectness += PUBLISHED_BALANCE[len(levels)][index] * sum(losses) / len(losses)
        if matches:
            box += sum(1 - overlap for overlap in overlaps) / len(overlaps)
            if raw.shape[-1] > 6:
                classes += sum(class_losses) / len(class_losses)
    return [box, objectness, classes]


def _matches_of_level(case: Case, index: int) -> list[SlowMatch]:
    return slow_matches(
        case.targets.boxes.tolist(),
        case.targets.image_index.tolist(),
        case.predictions.anchors[index].tolist(),
        stride=case.predictions.strides[index],
        grid=(case.predictions.levels[index].shape[2], case.predictions.levels[index].shape[3]),
        max_ratio=4.0,
    )


def _overlap(case: Case, index: int, match: SlowMatch) -> float:
    stride = case.predictions.strides[index]
    raw = case.predictions.levels[index][match.image, match.anchor, match.row, match.column]
    x, y, width, height = raw[:4].sigmoid().tolist()
    anchor = case.predictions.anchors[index, match.anchor].tolist()
    centre = [(2 * x - 0.5 + match.column) * stride, (2 * y - 0.5 + match.row) * stride]
    size = [(2 * width) ** 2 * anchor[0], (2 * height) ** 2 * anchor[1]]
    box = [c - s / 2 for c, s in zip(centre, size, strict=True)]
    box += [c + s / 2 for c, s in zip(centre, size, strict=True)]
    return slow_overlap(box, case.targets.boxes[match.target].tolist(), "ciou")


def _bce(logit: float, target: float) -> float:
    p = Tensor.sigmoid(torch.tensor(logit, dtype=torch.float64))
    return -(target * p.log() + (1 - target) * (1 - p).log()).item()
