"""The head of the YOLO family: one convolution per level, objectness beside the classes.

Legend: B images, A anchors per cell, C classes, L levels, H W cells of a level.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from configs.heads import HEAD_TRAITS
from models.heads.detection_head import AnchorHead, BoxFirst, ClassRows, LevelAnchors, needed
from models.heads.priors import Priors, frequency_biases, objectness_biases
from utils.structures.decoder import Decoder

SMALLEST_SQUARE = 3.0
"""Smallest default anchor in strides; published ones are about 1.4 to 11 wide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CellDecoder(BoxFirst):
    """Boxes as YOLOv5 v6 codes them: near their cell, and below four anchors.

    cx = (2 S(x) - 0.5 + column) stride, w = (2 S(w))^2 anchor width, with S the sigmoid; y and
    height alike.
    """

    has_objectness: bool = HEAD_TRAITS["Detect"].has_objectness

    def boxes(
        self, coded: Tensor, cells_xy: Tensor, anchors: Tensor | None, stride: float
    ) -> Tensor:
        """Return boxes (..., 4) xyxy of raw x, y, width, height (..., 4), see `Decoder`."""
        activated = coded.sigmoid()
        centers = (activated[..., :2] * 2 - 0.5 + cells_xy) * stride
        half_sizes = (activated[..., 2:4] * 2).square() * needed(anchors) / 2
        return torch.cat((centers - half_sizes, centers + half_sizes), dim=-1)


class Detect(AnchorHead):
    """Anchor head with objectness: one 1 x 1 convolution per level."""

    decoder: Decoder = CellDecoder()

    def __init__(self, channels: Sequence[int], *, num_classes: int, num_anchors: int) -> None:
        super().__init__(len(channels), num_classes=num_classes, num_anchors=num_anchors)
        outputs = num_anchors * self.decoder.num_channels(num_classes)
        self.m = nn.ModuleList(nn.Conv2d(width, outputs, 1) for width in channels)

    def convolutions(self) -> list[nn.Conv2d]:
        """Return the convolution of each level, (B, width, H, W) to (B, A (5 + C), H, W)."""
        return [cast(nn.Conv2d, convolution) for convolution in self.m]

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Map one feature map (B, width, H, W) per level to raw output (B, A, H, W, 5 + C).

        The outputs are views, contiguous in the last dimension where the maps are channels-last.
        """
        return tuple(
            self.split_anchors(convolution(level))
            for convolution, level in zip(self.m, features, strict=True)
        )

    @classmethod
    def default_anchors(cls, strides: Sequence[int], num_anchors: int) -> tuple[LevelAnchors, ...]:
        """Return squares that cover one octave per level.

        Anchor k of A on a level of stride s has sides 3 s 2^(k / A), so neighbouring levels join
        up.
        """
        octave = [2 ** (k / num_anchors) for k in range(num_anchors)]
        sides = [[SMALLEST_SQUARE * stride * factor for factor in octave] for stride in strides]
        return tuple(tuple((side, side) for side in level) for level in sides)

    @torch.no_grad()
    def init_weights(self, priors: Priors, strides: Sequence[int]) -> None:
        """Draw the weights by torch's default and add the priors to the biases.

        Objectness: ln(n / (size / s)^2), the share of cells that contain one of n objects, s the
        stride of the level. Classes, published: ln(0.6 / (C - 0.99999)); counted:
        ln(p / (1 - p)) with p the share of the class. Without priors both are 0.

        Source: docs/recipe_sources.md#start-values; counting instead of assuming: Chen et al.,
        arXiv 1909.04868.

        Raises:
            ValueError: a count is not positive, or there is not one per class or level.
        """
        objectness = objectness_biases(priors, strides)
        classes = frequency_biases(priors, self.num_classes)
        for convolution, level_bias in zip(self.convolutions(), objectness, strict=True):
            convolution.reset_parameters()
            bias = cast(Tensor, convolution.bias).view(self.num_anchors, 5 + self.num_classes)
            if not priors.has_prior:
                bias[:, 4:] = 0
                continue
            bias[:, 4] += level_bias
            bias[:, 5:] += classes.to(bias)

    def class_rows(self) -> Mapping[str, ClassRows]:
        """Return that every convolution has 5 rows an anchor before those of the classes."""
        rows = ClassRows(groups=self.num_anchors, others=5)
        return {f"m.{name}": rows for name in self.m.state_dict()}
