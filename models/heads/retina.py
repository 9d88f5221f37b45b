"""The head of RetinaNet: two deep towers, the same for all levels, and no objectness.

Source: Lin et al. 2017, arXiv 1708.02002, section 4.
Legend: B images, A anchors per cell, C classes, L levels, H W cells of a level.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from configs.heads import HEAD_TRAITS
from models.heads.detection_head import AnchorHead, BoxFirst, ClassRows, LevelAnchors, needed
from models.heads.priors import Priors, share_biases
from models.heads.shared_tower import SharedTower
from utils.structures.decoder import Decoder

SMALLEST_SIDE = 4.0
"""Side in strides of the smallest square anchor: 32 px at stride 8."""
RATIOS = (0.5, 1.0, 2.0)
"""Height over width of the default anchors."""
WEIGHT_STD = 0.01
"""Standard deviation of the head's weights at the start."""
LARGEST_GROWTH = math.log(1000 / 16)
"""Log of the largest ratio between a box's side and the anchor's; more would overflow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeltaDecoder(BoxFirst):
    """Boxes as Faster R-CNN codes them: shift and log scale of the anchor centred on the cell.

    cx = (column + 0.5) stride + dx anchor width, w = anchor width exp(dw), with dw cut at
    `LARGEST_GROWTH`; y and height alike.

    Source: Ren et al. 2015, arXiv 1506.01497, section 3.1.2.
    """

    has_objectness: bool = HEAD_TRAITS["Retina"].has_objectness

    def boxes(
        self, coded: Tensor, cells_xy: Tensor, anchors: Tensor | None, stride: float
    ) -> Tensor:
        """Return boxes (..., 4) xyxy of dx, dy, dw, dh (..., 4), see `Decoder`."""
        sides = needed(anchors)
        centers = (cells_xy + 0.5) * stride + coded[..., :2] * sides
        half_sizes = coded[..., 2:4].clamp(max=LARGEST_GROWTH).exp() * sides / 2
        return torch.cat((centers - half_sizes, centers + half_sizes), dim=-1)


MAX_DEPTH = 64
"""Of a tower; the paper has 4."""


class Retina(AnchorHead):
    """Anchor head without objectness: class and box towers whose weights all levels share.

    Args:
        channels: channels of each level's feature map, all equal.
        width: channels of the towers.
        depth: 3 x 3 convolutions of a tower before the one that predicts.
        has_norm: batch normalisation after each, which training from scratch needs at small widths;
            the paper has none. Statistics are kept per level, weights of convolutions are shared:
            levels differ in scale, and their mixture would fit none of them in evaluation.

    Raises:
        ValueError: the levels have different numbers of channels, or a size is below 1.
    """

    decoder: Decoder = DeltaDecoder()
    optional_arguments = 3
    takes_partial_cells = True

    def __init__(
        self,
        channels: Sequence[int],
        width: int = 256,
        depth: int = 4,
        has_norm: bool = False,
        *,
        num_classes: int,
        num_anchors: int,
    ) -> None:
        super().__init__(len(channels), num_classes=num_classes, num_anchors=num_anchors)
        if len(set(channels)) != 1:
            raise ValueError(
                f"levels must have equally many channels, got {', '.join(map(str, channels))}"
            )
        if depth > MAX_DEPTH:
            raise ValueError(f"depth must be at most {MAX_DEPTH}, got {depth}")
        if min(width, depth) < 1:
            raise ValueError(f"width and depth must be from 1, got {width} and {depth}")
        towers = (
            SharedTower(channels, width, depth, activation=nn.ReLU(inplace=True), has_norm=has_norm)
            for _ in range(2)
        )
        self.class_tower, self.box_tower = towers
        self.class_output = nn.Conv2d(width, num_anchors * num_classes, 3, padding=1)
        self.box_output = nn.Conv2d(width, num_anchors * 4, 3, padding=1)

    def convolutions(self) -> list[nn.Conv2d]:
        """Return every convolution of the head, those of the towers first."""
        return [module for module in self.modules() if isinstance(module, nn.Conv2d)]

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Map one feature map (B, channels, H, W) per level to raw output (B, A, H, W, 4 + C)."""
        return tuple(self._predict(level, index) for index, level in enumerate(features))

    def _predict(self, features: Tensor, level: int) -> Tensor:
        boxes = self.split_anchors(self.box_output(self.box_tower(features, level)))
        classes = self.split_anchors(self.class_output(self.class_tower(features, level)))
        return torch.cat((boxes, classes), dim=-1)

    @classmethod
    def default_anchors(cls, strides: Sequence[int], num_anchors: int) -> tuple[LevelAnchors, ...]:
        """Return three shapes of equal area for each of A / 3 sizes within the level's octave.

        Size k on a level of stride s has the area of a square of side 4 s 2^(3 k / A). By size,
        then by height over width 0.5, 1, 2. Source: Lin et al. 2017, arXiv 1708.02002, section 4,
        for A = 9.

        Raises:
            ValueError: A is not a multiple of 3.
        """
        num_sizes, rest = divmod(num_anchors, len(RATIOS))
        if rest:
            raise ValueError(f"Retina has 3 shapes per size; {num_anchors} is not divisible by 3")
        octave = [2 ** (k / num_sizes) for k in range(num_sizes)]
        return tuple(
            tuple(
                (SMALLEST_SIDE * stride * factor / root, SMALLEST_SIDE * stride * factor * root)
                for factor in octave
                for root in map(math.sqrt, RATIOS)
            )
            for stride in strides
        )

    @torch.no_grad()
    def init_weights(self, priors: Priors, strides: Sequence[int]) -> None:
        """Draw weights from a normal distribution (0, 0.01), set biases to 0 and those of classes
        to ln(p / (1 - p)) with p 0.01 or counted, or to 0 without priors.

        Raises:
            ValueError: there is not one share from 0 to 1 per class.
        """
        class_biases = share_biases(priors, self.num_classes)
        for convolution in self.convolutions():
            nn.init.normal_(convolution.weight, std=WEIGHT_STD)
            if convolution.bias is not None:
                nn.init.zeros_(convolution.bias)
        bias = cast(Tensor, self.class_output.bias).view(self.num_anchors, self.num_classes)
        bias.copy_(class_biases)

    def class_rows(self) -> Mapping[str, ClassRows]:
        """Return that the last convolution of the classes has rows of nothing else."""
        rows = ClassRows(groups=self.num_anchors)
        return {f"class_output.{name}": rows for name in self.class_output.state_dict()}
