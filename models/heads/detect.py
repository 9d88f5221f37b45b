"""The head of the YOLO family: one convolution per level, objectness beside the classes.

Legend: B images, A anchors per cell, C classes, L levels, H W cells of a level.
"""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from models.heads.anchor_head import AnchorHead


class Detect(AnchorHead):
    """Anchor head with objectness: one 1 x 1 convolution per level."""

    coding = "cell"
    has_objectness = True

    def __init__(self, channels: Sequence[int], *, num_classes: int, num_anchors: int) -> None:
        super().__init__(len(channels), num_classes=num_classes, num_anchors=num_anchors)
        outputs = num_anchors * (5 + num_classes)
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
