"""Base of heads with anchors."""

import torch
from torch import Tensor

from models.heads.detection_head import DetectionHead


class AnchorHead(DetectionHead):
    """A head whose boxes are coded relative to anchors.

    The buffer `anchors` (L, A, 2) contains width and height in cells of the level (pixels /
    stride), as published weights do.
    """

    anchors: Tensor

    def __init__(self, num_levels: int, *, num_classes: int, num_anchors: int) -> None:
        super().__init__(num_classes=num_classes, num_anchors=num_anchors)
        self.register_buffer("anchors", torch.ones(num_levels, num_anchors, 2))
