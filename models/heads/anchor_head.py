"""What every head has in common, whatever its layers: anchors, and how its output is to be read.

Decoding is in `utils/structures/predictions.py`, start values in `models/init.py`.
Legend: B images, A anchors per cell, C classes, L levels, H W cells of a level.
"""

from typing import ClassVar

import torch
from torch import Tensor, nn

from utils.structures.box_coding import BoxCoding


class AnchorHead(nn.Module):
    """The last row of a graph: one feature map per level to one raw output per level.

    The buffer `anchors` (L, A, 2) holds width and height in cells of the level (pixels / stride),
    as published weights do. coding: how the first four channels of the output code a box.
    has_objectness: channel 4 is objectness; else classes begin there. optional_arguments: how many
    arguments a graph's row may give after [nc, anchors]. takes_partial_cells: images whose last
    row and column of coarse cells reach over the border are allowed.
    """

    coding: ClassVar[BoxCoding]
    has_objectness: ClassVar[bool]
    optional_arguments: ClassVar[int] = 0
    takes_partial_cells: ClassVar[bool] = False

    anchors: Tensor

    def __init__(self, num_levels: int, *, num_classes: int, num_anchors: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_anchors = num_anchors
        self.register_buffer("anchors", torch.ones(num_levels, num_anchors, 2))

    def split_anchors(self, raw: Tensor) -> Tensor:
        """Return the view (B, A, H, W, K) of a convolution's output (B, A K, H, W)."""
        batch, channels, height, width = raw.shape
        per_anchor = raw.view(batch, self.num_anchors, channels // self.num_anchors, height, width)
        return per_anchor.permute(0, 1, 3, 4, 2)
