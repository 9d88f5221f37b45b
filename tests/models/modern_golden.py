"""Reference numbers of anchor-free detectors as our types: see tests/golden/ORIGIN.md.

Files lie in the repository; $FOCALDET_SHARED may hold more of the same form.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.heads.detection_head import BoxFirst
from models.heads.joint import DistanceDecoder
from models.heads.yolox import ShiftDecoder
from tests.conftest import GOLDEN, SHARED
from utils.structures.batch import Targets
from utils.structures.predictions import Assignment, Predictions


def golden_files(pattern: str) -> list[Path]:
    """Return the files of a form, those of the repository first, each name once."""
    folders = (GOLDEN / "modern", SHARED / "golden" / "modern")
    found = {path.name: path for folder in folders[::-1] for path in folder.glob(pattern)}
    return [found[name] for name in sorted(found)]


def load(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files}


def tensor(values: Any) -> Tensor:
    return torch.from_numpy(np.asarray(values))


def by_level(maps: list[Tensor]) -> tuple[Tensor, ...]:
    """Return (B, K, H, W) maps as raw output (B, 1, H, W, K)."""
    return tuple(each.permute(0, 2, 3, 1)[:, None].contiguous() for each in maps)


def target_of_cell(assignment: Assignment, num_images: int) -> Tensor:
    """Return (B, P), the index into all targets of the batch, -1 for none."""
    columns = []
    for level in assignment.levels:
        index = torch.where(level.valid, level.target, -1)
        columns.append(index.view(num_images, -1))
    return torch.cat(columns, dim=1)


def quality_of_cell(assignment: Assignment, num_images: int) -> Tensor:
    """Return (B, P), 0 where a cell is assigned to nothing."""
    columns = []
    for level in assignment.levels:
        assert level.quality is not None
        quality = torch.where(level.valid, level.quality, 0.0)
        columns.append(quality.view(num_images, -1))
    return torch.cat(columns, dim=1)


def yolox_case(data: dict[str, Any]) -> tuple[Predictions, Targets, Tensor]:
    """Return predictions with gradient, targets, and the first target of each image."""
    maps = [tensor(data[f"raw{level}"]) for level in range(len(data["strides"]))]
    levels = tuple(level.requires_grad_() for level in by_level(maps))
    boxes, labels, images = [], [], []
    for image, rows in enumerate(data["labels"]):
        for label, cx, cy, w, h in rows[rows[:, 1:].sum(axis=1) > 0]:
            boxes.append([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2])
            labels.append(int(label))
            images.append(image)
    return (
        Predictions(levels=levels, strides=tuple(data["strides"].tolist()), decoder=ShiftDecoder()),
        as_targets(boxes, labels, images),
        first_targets(images, len(data["labels"])),
    )


def rtmdet_case(data: dict[str, Any]) -> tuple[Predictions, Targets, Tensor]:
    """Return predictions with gradient, targets, and the first target of each image."""
    strides = tuple(data["strides"].tolist())
    maps = [
        torch.cat((tensor(data[f"dist{i}"]) / stride, tensor(data[f"cls{i}"])), dim=1)
        for i, stride in enumerate(strides)
    ]
    levels = tuple(level.requires_grad_() for level in by_level(maps))
    boxes, labels, images = [], [], []
    for image in range(len(maps[0])):
        boxes += data[f"boxes{image}"].tolist()
        labels += data[f"labels{image}"].tolist()
        images += [image] * len(data[f"labels{image}"])
    return (
        Predictions(
            levels=levels, strides=strides, decoder=DistanceDecoder(is_linear=True, offset=0.0)
        ),
        as_targets(boxes, labels, images),
        first_targets(images, len(maps[0])),
    )


def tal_case(data: dict[str, Any]) -> tuple[Predictions, Targets]:
    """Return one image of predictions whose points are the centres of their cells, and targets."""
    points, logits = tensor(data["points"]), tensor(data["logits"])
    predicted = tensor(data["pred_boxes"])
    levels, strides = [], []
    for stride in points[:, 2].unique().tolist():
        own = points[:, 2] == stride
        x, y = points[own, 0], points[own, 1]
        width, height = len(x.unique()), len(y.unique())
        assert torch.equal(x.view(height, width)[0], (torch.arange(width) + 0.5) * stride)
        raw = torch.cat((predicted[own] / stride, logits[own]), dim=1)
        levels.append(raw.view(1, 1, height, width, -1))
        strides.append(int(stride))
    return (
        Predictions(levels=tuple(levels), strides=tuple(strides), decoder=CornerDecoder()),
        as_targets(data["boxes"].tolist(), data["labels"].tolist(), [0] * len(data["labels"])),
    )


class CornerDecoder(BoxFirst):
    """The box itself in cells of its level, wherever the cell is."""

    def __init__(self, *, has_objectness: bool = False) -> None:
        super().__init__(has_objectness=has_objectness)

    def boxes(
        self, coded: Tensor, cells_xy: Tensor, anchors: Tensor | None, stride: float
    ) -> Tensor:
        return coded * stride


def as_targets(boxes: list[list[float]], labels: list[int], images: list[int]) -> Targets:
    return Targets(
        boxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        image_index=torch.tensor(images, dtype=torch.int64),
    )


def first_targets(images: list[int], num_images: int) -> Tensor:
    """Return (B, 1): how many targets earlier images have, since files count per image."""
    return torch.tensor([[sum(i < image for i in images)] for image in range(num_images)])
