"""How four raw numbers of the network code a box relative to its cell and anchor.

Everything is in one unit of length, `stride` long per cell: pixels with the stride of the level, or
grid units with stride 1.
"""

import math
from typing import Literal

import torch
from torch import Tensor

BoxCoding = Literal["cell", "delta"]
"""cell: YOLOv5 v6, the box stays near its cell and below four anchors; delta: Faster R-CNN, shift
and log scale of the anchor that is centred on the cell."""

LARGEST_GROWTH = math.log(1000 / 16)
"""Log of the largest ratio between a box's side and the anchor's; more would overflow."""


def decode_cell(activated: Tensor, cells_xy: Tensor, anchors: Tensor, stride: float) -> Tensor:
    """Return boxes (..., 4) xyxy of raw output (..., 4) after the sigmoid S, coded by cell.

    cx = (2 S(x) - 0.5 + column) stride, w = (2 S(w))^2 anchor width; y and height alike.

    Args:
        activated: (..., 4) x, y, width, height in (0, 1).
        cells_xy: (..., 2) column and row.
        anchors: (..., 2) width and height.
        stride: length of a cell.
    """
    centers = (activated[..., :2] * 2 - 0.5 + cells_xy) * stride
    half_sizes = (activated[..., 2:4] * 2).square() * anchors / 2
    return torch.cat((centers - half_sizes, centers + half_sizes), dim=-1)


def decode_delta(deltas: Tensor, cells_xy: Tensor, anchors: Tensor, stride: float) -> Tensor:
    """Return boxes (..., 4) xyxy of raw output (..., 4) dx, dy, dw, dh, coded by anchor.

    cx = (column + 0.5) stride + dx anchor width, w = anchor width exp(dw), with dw cut at
    `LARGEST_GROWTH`; y and height alike. Arguments as in `decode_cell`.

    Source: Ren et al. 2015, arXiv 1506.01497, section 3.1.2.
    """
    centers = (cells_xy + 0.5) * stride + deltas[..., :2] * anchors
    half_sizes = deltas[..., 2:4].clamp(max=LARGEST_GROWTH).exp() * anchors / 2
    return torch.cat((centers - half_sizes, centers + half_sizes), dim=-1)
