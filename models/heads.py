"""Detection heads: the last row of a graph, from feature maps to raw predictions.

Decoding is in `utils/structures/predictions.py`, start values of the biases in `init.py`.
Legend: B images, A anchors per cell, C classes, L levels, H W cells of a level.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn


class Detect(nn.Module):
    """Anchor head with objectness: one 1 x 1 convolution per level.

    The buffer `anchors` (L, A, 2) holds width and height in cells of the level (pixels / stride),
    as published weights do.
    """

    anchors: Tensor

    def __init__(self, channels: Sequence[int], *, num_classes: int, num_anchors: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_anchors = num_anchors
        outputs = num_anchors * (5 + num_classes)
        self.m = nn.ModuleList(nn.Conv2d(width, outputs, 1) for width in channels)
        self.register_buffer("anchors", torch.ones(len(channels), num_anchors, 2))

    def convolutions(self) -> list[nn.Conv2d]:
        """Return the convolution of each level, (B, width, H, W) to (B, A (5 + C), H, W)."""
        return [cast(nn.Conv2d, convolution) for convolution in self.m]

    def forward(self, *features: Tensor) -> tuple[Tensor, ...]:
        """Map one feature map (B, width, H, W) per level to raw output (B, A, H, W, 5 + C).

        The outputs are views, contiguous in the last dimension where the maps are channels-last.
        """
        return tuple(
            self._split_anchors(convolution(level))
            for convolution, level in zip(self.m, features, strict=True)
        )

    def _split_anchors(self, raw: Tensor) -> Tensor:
        batch, _, height, width = raw.shape
        per_anchor = raw.view(batch, self.num_anchors, 5 + self.num_classes, height, width)
        return per_anchor.permute(0, 1, 3, 4, 2)
