"""Geometry of boxes held as tensors: float32 xyxy pixels, in the frame the variable names.

Overlaps of two sets of boxes are in `iou.py`. Normalised coordinates exist only in the YOLO
reader and writer (`data/formats/yolo/reader.py`).
"""

import torch
from torch import Tensor


def check_boxes(boxes: Tensor, name: str) -> None:
    """Raise ValueError unless `boxes` is a floating tensor of shape (N, 4)."""
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not boxes.is_floating_point():
        raise ValueError(
            f"{name} must be float (N, 4) xyxy pixels, got {boxes.dtype} {tuple(boxes.shape)}"
        )


def box_area(boxes: Tensor) -> Tensor:
    """Return the areas (...,) of boxes (..., 4); an inverted box has area 0."""
    width, height = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).unbind(-1)
    return width * height


def clip_boxes(boxes: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Return boxes (..., 4) clipped to an image of `image_size` = (height, width) pixels."""
    height, width = image_size
    x1, y1, x2, y2 = boxes.unbind(-1)
    corners = (x1.clamp(0, width), y1.clamp(0, height), x2.clamp(0, width), y2.clamp(0, height))
    return torch.stack(corners, dim=-1)
