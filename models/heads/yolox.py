"""The head of YOLOX: anchor-free, decoupled, with objectness.

Source: Ge et al. 2021, arXiv 2107.08430. Modules are named as in its published weights.
Legend: B images, C classes, L levels, H W cells of a level.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from configs.heads import HEAD_TRAITS
from models.blocks.conv import Conv, SeparableConv
from models.blocks.join import join
from models.heads.detection_head import BoxFirst, ClassRows, DetectionHead
from models.heads.joint import LARGEST_LOG, MAX_WIDTH
from models.heads.priors import CLASS_PRIOR, Priors, frequency_biases, objectness_biases
from utils.structures.decoder import Decoder

SMALLEST_SIDE = 1e-8
"""Cells; published, keeps the logarithm of a side finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShiftDecoder(BoxFirst):
    """Boxes by the shift of their centre from the corner of the cell and the log of their sides.

    cx = (x + column) stride, w = exp(w) stride, with w cut at log 1000; y and height alike.
    """

    has_objectness: bool = HEAD_TRAITS["YOLOX"].has_objectness

    def boxes(
        self, coded: Tensor, cells_xy: Tensor, anchors: Tensor | None, stride: float
    ) -> Tensor:
        """Return boxes (..., 4) xyxy of x, y, w, h (..., 4), see `Decoder`."""
        centers = (coded[..., :2] + cells_xy) * stride
        half_sizes = coded[..., 2:4].clamp(max=LARGEST_LOG).exp() * stride / 2
        return torch.cat((centers - half_sizes, centers + half_sizes), dim=-1)

    def encode(self, boxes: Tensor) -> Tensor:
        """Return x, y, w, h (..., 4) of boxes (..., 4) in cells from the corner of their cell."""
        centers = (boxes[..., :2] + boxes[..., 2:]) / 2
        sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
        return torch.cat((centers, (sides + SMALLEST_SIDE).log()), dim=-1)


class YOLOX(DetectionHead):
    """Anchor-free head with objectness: a stem, a class and a box tower for each level.

    Args:
        channels: channels of each level's feature map.
        width: channels of stems and towers.
        is_depthwise: 3 x 3 convolutions of the towers are a depth-wise and a 1 x 1 one (nano).

    Raises:
        ValueError: the width is out of range.
    """

    decoder: Decoder = ShiftDecoder()
    optional_arguments = 2

    def __init__(
        self,
        channels: Sequence[int],
        width: int = 256,
        is_depthwise: bool = False,
        *,
        num_classes: int,
    ) -> None:
        super().__init__(num_classes=num_classes)
        if not 1 <= width <= MAX_WIDTH:
            raise ValueError(f"width must be 1 to {MAX_WIDTH}, got {width}")
        build = SeparableConv if is_depthwise else Conv
        self.stems = nn.ModuleList(Conv(source, width, 1) for source in channels)
        self.cls_convs, self.reg_convs = (
            nn.ModuleList(
                nn.Sequential(build(width, width, 3), build(width, width, 3)) for _ in channels
            )
            for _ in range(2)
        )
        self.cls_preds, self.reg_preds, self.obj_preds = (
            nn.ModuleList(nn.Conv2d(width, outputs, 1) for _ in channels)
            for outputs in (num_classes, 4, 1)
        )

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Map one feature map (B, channels, H, W) per level to raw output (B, 1, H, W, 5 + C)."""
        return tuple(self._predict(level, index) for index, level in enumerate(features))

    def _predict(self, features: Tensor, level: int) -> Tensor:
        stem = self.stems[level](features)
        classes = self.cls_preds[level](self.cls_convs[level](stem))
        box_features = self.reg_convs[level](stem)
        outputs = (self.reg_preds[level](box_features), self.obj_preds[level](box_features))
        return self.split_anchors(join(*outputs, classes))

    @torch.no_grad()
    def init_weights(self, priors: Priors, strides: Sequence[int]) -> None:
        """Draw the weights by torch's default; objectness and classes start at 0.01, or at what
        was counted, or at 0.5 without priors.

        Raises:
            ValueError: a count is not positive, or there is not one per class or level.
        """
        published = math.log(CLASS_PRIOR / (1 - CLASS_PRIOR)) if priors.has_prior else 0.0
        objectness: Sequence[float] = [published] * len(strides)
        classes = torch.full((self.num_classes,), published)
        if priors.has_prior and priors.objects_per_image is not None:
            objectness = objectness_biases(priors, strides)
            classes = frequency_biases(priors, self.num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.reset_parameters()
        for obj, cls, level_bias in zip(self.obj_preds, self.cls_preds, objectness, strict=True):
            nn.init.constant_(cast(Tensor, obj.bias), level_bias)
            cast(Tensor, cls.bias).copy_(classes)

    def class_rows(self) -> Mapping[str, ClassRows]:
        """Return that the last convolutions of the classes have rows of nothing else."""
        rows = ClassRows(groups=1)
        return {f"cls_preds.{name}": rows for name in self.cls_preds.state_dict()}
