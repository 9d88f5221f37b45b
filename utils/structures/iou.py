"""Overlap of boxes: every pair of two sets, or two aligned lists; all differentiable.

The boxes are xyxy in any common unit. Areas and clipping are in `boxes.py`.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from utils.structures.boxes import box_area

OverlapKind = Literal["iou", "giou", "diou", "ciou"]

_EPS = 1e-7
"""Keeps denominators of empty boxes from zero; the value of the published recipe (SPEC 2B.7)."""


def pairwise_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the intersection over union of every pair of boxes.

    Args:
        a: (..., N, 4) xyxy; inverted boxes count as empty.
        b: (..., M, 4) xyxy, same leading dimensions and frame as `a`.

    Returns:
        (..., N, M) in [0, 1]. Pairs with an empty union give 0, never NaN.
    """
    intersection = _intersection(a[..., :, None, :], b[..., None, :, :])
    union = box_area(a)[..., :, None] + box_area(b)[..., None, :] - intersection
    return torch.where(union > 0, intersection / union.clamp(min=_EPS), 0.0)


def box_overlap(a: Tensor, b: Tensor, kind: OverlapKind) -> Tensor:
    """Return how well each box of `a` covers its partner in `b`.

    iou is intersection over union. giou subtracts the share of the hull that neither covers, diou
    the squared centre distance over the squared hull diagonal, ciou that and a penalty on unequal
    aspect ratios whose weight carries no gradient (Zheng et al. 2020, arXiv:1911.08287). Ours adds
    1e-7 to every denominator, so values and gradients are finite for boxes without area.

    Args:
        a: (..., 4) xyxy; inverted boxes count as empty.
        b: (..., 4) xyxy, same shape, unit and frame.
        kind: which overlap.

    Returns:
        (...,): iou in [0, 1], giou and diou in (-1, 1], ciou in (-2, 1]. Identical boxes with area
        give 1 up to 1e-7 over their area.
    """
    intersection = _intersection(a, b)
    union = box_area(a) + box_area(b) - intersection
    iou = intersection / (union + _EPS)
    if kind == "iou":
        return iou
    hull_size = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    if kind == "giou":
        hull = hull_size.clamp(min=0).prod(dim=-1)
        return iou - (hull - union) / (hull + _EPS)
    centre_shift = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    distance = centre_shift.square().sum(dim=-1) / (hull_size.square().sum(dim=-1) + _EPS)
    if kind == "diou":
        return iou - distance
    return iou - distance - _aspect_penalty(a, b, iou)


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    corner_max = torch.minimum(a[..., 2:], b[..., 2:])
    size = (corner_max - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    return size[..., 0] * size[..., 1]


def _aspect_penalty(a: Tensor, b: Tensor, iou: Tensor) -> Tensor:
    difference = (4 / math.pi**2) * (_aspect_angle(b) - _aspect_angle(a)).square()
    with torch.no_grad():
        weight = difference / (difference - iou + (1 + _EPS))
    return weight * difference


def _aspect_angle(boxes: Tensor) -> Tensor:
    width, height = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0).unbind(-1)
    return torch.atan2(width, height + _EPS)
