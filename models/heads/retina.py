"""The head of RetinaNet: two deep towers, the same for all levels, and no objectness.

Source: Lin et al. 2017, arXiv 1708.02002, section 4.
Legend: B images, A anchors per cell, C classes, L levels, H W cells of a level.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from models.blocks.conv import batch_norm
from models.heads.anchor_head import AnchorHead

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

    coding = "delta"
    has_objectness = False
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
        towers = (_Tower(channels, width, depth, has_norm=has_norm) for _ in range(2))
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


class _Tower(nn.Module):
    """A row of 3 x 3 convolutions with ReLU, (B, in, H, W) to (B, width, H, W) of any level."""

    def __init__(self, channels: Sequence[int], width: int, depth: int, *, has_norm: bool) -> None:
        super().__init__()
        inputs = (channels[0], *[width] * (depth - 1))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(source, width, 3, padding=1, bias=not has_norm) for source in inputs
        )
        self.norms = nn.ModuleList(
            nn.ModuleList(batch_norm(width) if has_norm else nn.Identity() for _ in inputs)
            for _ in channels
        )
        self.act = nn.ReLU(inplace=True)

    def forward(self, features: Tensor, level: int) -> Tensor:
        """Map features (B, in, H, W) of level number `level` to (B, width, H, W)."""
        norms = cast(nn.ModuleList, self.norms[level])
        for convolution, norm in zip(self.convolutions, norms, strict=True):
            features = self.act(norm(convolution(features)))
        return features
