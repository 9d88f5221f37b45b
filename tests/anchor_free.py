"""A head without anchors and objectness, and an assigner that looks at predictions: for tests only.

They go into the tables that real ones stand in, so everything else is the program as it is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from configs.heads import HEAD_TRAITS, HeadTraits
from configs.schema import model as settings_of
from models.assign import build
from models.heads import HEADS
from models.heads.detection_head import BoxFirst, ClassRows, DetectionHead
from models.heads.priors import Priors, share_biases
from tests.models.factories import tiny_graph
from utils.structures.batch import Targets
from utils.structures.decoder import Decoder
from utils.structures.iou import pairwise_iou
from utils.structures.predictions import Assignment, LevelAssignment, Predictions


@dataclass(frozen=True, slots=True, kw_only=True)
class DistanceDecoder(BoxFirst):
    """Distances l, t, r, b from the cell's centre in cells: exp, or the mean of `bins` bins."""

    has_objectness: bool = False
    bins: int = 0

    def boxes(
        self, coded: Tensor, cells_xy: Tensor, anchors: Tensor | None, stride: float
    ) -> Tensor:
        if self.bins:
            shares = coded.unflatten(-1, (4, self.bins)).softmax(dim=-1)
            distances = shares @ torch.arange(self.bins).to(shares) * stride
        else:
            distances = coded.clamp(max=6).exp() * stride
        centers = (cells_xy + 0.5) * stride
        return torch.cat((centers - distances[..., :2], centers + distances[..., 2:]), dim=-1)


class Distances(DetectionHead):
    """One 1 x 1 convolution a level for boxes and one for classes."""

    optional_arguments = 1

    def __init__(self, channels: Sequence[int], bins: int = 0, *, num_classes: int) -> None:
        super().__init__(num_classes=num_classes)
        box_channels = 4 * max(bins, 1)
        self.decoder: Decoder = DistanceDecoder(bins=bins, box_channels=box_channels)
        self.box_outputs = nn.ModuleList(nn.Conv2d(width, box_channels, 1) for width in channels)
        self.class_outputs = nn.ModuleList(nn.Conv2d(width, num_classes, 1) for width in channels)

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        layers = zip(features, self.box_outputs, self.class_outputs, strict=True)
        return tuple(
            self.split_anchors(torch.cat((box(level), classes(level)), dim=1))
            for level, box, classes in layers
        )

    @torch.no_grad()
    def init_weights(self, priors: Priors, strides: Sequence[int]) -> None:
        for output in (*self.box_outputs, *self.class_outputs):
            output.reset_parameters()  # type: ignore[operator]
        for output in self.class_outputs:
            output.bias.copy_(share_biases(priors, self.num_classes))  # type: ignore[operator, union-attr]

    def class_rows(self) -> Mapping[str, ClassRows]:
        return {
            f"class_outputs.{name}": ClassRows(groups=1) for name in self.class_outputs.state_dict()
        }


class InsideAssigner:
    """Gives every target the cells whose centre it holds; quality is the overlap of their boxes."""

    @torch.no_grad()
    def __call__(self, predictions: Predictions, targets: Targets) -> Assignment:
        boxes = predictions.decode().boxes
        levels, start = [], 0
        for raw, stride in zip(predictions.levels, predictions.strides, strict=True):
            height, width = raw.shape[2:4]
            count = height * width
            cell = torch.arange(count, device=raw.device)
            column, row = cell % width, cell // width
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            left, top, right, bottom = targets.boxes[:, :, None].unbind(1)
            is_inside = (x > left) & (x < right) & (y > top) & (y < bottom)  # (T, cells)
            target, cell = is_inside.nonzero().unbind(1)
            image = targets.image_index[target]
            predicted = boxes[image, start + cell]
            overlap = pairwise_iou(predicted[:, None], targets.boxes[target][:, None])
            spare = min(1, len(targets))  # an entry that does not count, in front
            columns = (image, torch.zeros_like(cell), row[cell], column[cell], target)
            padded = [nn.functional.pad(values, (spare, 0)) for values in columns]
            quality = nn.functional.pad(overlap[:, 0, 0].clamp(0, 1), (spare, 0), value=1.0)
            levels.append(
                LevelAssignment(
                    image=padded[0],
                    anchor=padded[1],
                    row=padded[2],
                    column=padded[3],
                    target=padded[4],
                    valid=torch.arange(len(quality)) >= spare,
                    quality=quality,
                )
            )
            start += count
        return Assignment(levels=tuple(levels))


def register(patch: pytest.MonkeyPatch) -> None:
    """Put the head into its two tables, and the assigner in the place of `anchor_ratio`."""
    patch.setitem(HEADS, "Distances", Distances)
    patch.setitem(HEAD_TRAITS, "Distances", HeadTraits(has_objectness=False, has_anchors=False))
    settings: Any = settings_of.AnchorRatioAssignerSettings
    patch.setattr(settings, "needs_anchors", False)
    patch.setattr(settings, "reads_predictions", True)
    patch.setitem(build.ASSIGNERS, settings, lambda _: InsideAssigner())


def distances_graph(bins: int = 0, **changes: Any) -> dict[str, Any]:
    """Two levels, strides 4 and 8; no anchors."""
    arguments = ["nc", bins] if bins else ["nc"]
    head = [[-1, 1, "Conv", [16, 3, 2]], [[2, 3], 1, "Distances", arguments]]
    graph = tiny_graph(head=head, **changes)
    del graph["anchors"]
    return yaml.safe_load(yaml.safe_dump(graph))
