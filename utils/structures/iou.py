"""Overlap of boxes: every pair of two sets, or two aligned lists; all differentiable.

The boxes are xyxy in any common unit. Areas and clipping are in `boxes.py`.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from utils.structures.boxes import box_area

OverlapKind = Literal["iou", "giou", "diou", "ciou", "eiou", "siou"]

_EPS = 1e-7
"""Keeps denominators of empty boxes from zero; published: docs/recipe_sources.md#loss."""


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
    """Return the IoU of each box of `a` with its partner in `b`, less the penalties of `kind`.

    Args:
        a: (..., 4) xyxy; inverted boxes count as empty.
        b: (..., 4) xyxy, same shape, unit and frame.
        kind: which overlap; the penalties are those of `overlap_parts`.

    Returns:
        (...,): iou in [0, 1], giou and diou in (-1, 1], ciou in (-2, 1], eiou in (-3, 1], siou in
        (-2, 1]. Identical boxes with area give 1 up to 1e-7 over their area.
    """
    iou, penalties = overlap_parts(a, b, kind)
    for penalty in penalties:
        iou = iou - penalty
    return iou


def overlap_parts(a: Tensor, b: Tensor, kind: OverlapKind) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Return intersection over union and what `kind` subtracts from it, all (...,), at least 0.

    * giou: the share of the hull that neither covers (Rezatofighi et al. 2019, arXiv:1902.09630).
    * diou: the squared centre distance over the squared hull diagonal (Zheng et al. 2020,
      arXiv:1911.08287).
    * ciou: that, and a penalty on unequal aspect ratios whose weight carries no gradient.
    * eiou: diou, and the squared differences of width and of height over those of the hull (Zhang
      et al. 2021, arXiv:2101.08158).
    * siou: half of a distance cost that depends on the direction, half of a shape cost with
      exponent 4 (Gevorgyan 2022, arXiv:2205.12740).

    Ours adds 1e-7 to every denominator, so values and gradients are finite for boxes without area.
    """
    intersection = _intersection(a, b)
    union = box_area(a) + box_area(b) - intersection
    iou = intersection / (union + _EPS)
    if kind == "iou":
        return iou, ()
    hull_size = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    if kind == "giou":
        width, height = hull_size.clamp(min=0).unbind(dim=-1)
        hull = width * height  # the way back of a product over an axis waits for the device
        return iou, ((hull - union) / (hull + _EPS),)
    centre_shift = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    if kind == "siou":
        return iou, (_siou_distance(centre_shift, hull_size) / 2, _siou_shape(a, b) / 2)
    distance = centre_shift.square().sum(dim=-1) / (hull_size.square().sum(dim=-1) + _EPS)
    if kind == "diou":
        return iou, (distance,)
    if kind == "ciou":
        return iou, (distance, _aspect_penalty(a, b, iou))
    sides = (_size(a) - _size(b)).square() / (hull_size.square() + _EPS)
    return iou, (distance, sides[..., 0], sides[..., 1])


def _intersection(a: Tensor, b: Tensor) -> Tensor:
    corner_max = torch.minimum(a[..., 2:], b[..., 2:])
    size = (corner_max - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    return size[..., 0] * size[..., 1]


def _aspect_penalty(a: Tensor, b: Tensor, iou: Tensor) -> Tensor:
    difference = (4 / math.pi**2) * (_aspect_angle(b) - _aspect_angle(a)).square()
    with torch.no_grad():
        weight = difference / (difference - iou + (1 + _EPS))
    return weight * difference


def _siou_distance(shift: Tensor, hull_size: Tensor) -> Tensor:
    """Return the distance cost in [0, 2]: dearer along the axes, where only one way is left to go.

    `shift` (..., 2) from centre to centre, `hull_size` (..., 2).
    """
    # The paper's 1 - 2 sin^2(arcsin(sine) - pi / 4) is sin(2 arcsin(sine)): 2 sine cosine.
    across, down = shift.abs().unbind(dim=-1)
    angle_cost = 2 * across * down / (shift.square().sum(dim=-1) + _EPS)
    relative = (shift / (hull_size + _EPS)).square()
    return (1 - torch.exp((angle_cost - 2)[..., None] * relative)).sum(dim=-1)


def _siou_shape(a: Tensor, b: Tensor) -> Tensor:
    """Return the shape cost in [0, 2] of boxes (..., 4)."""
    size_a, size_b = _size(a), _size(b)
    relative = (size_a - size_b).abs() / (torch.maximum(size_a, size_b) + _EPS)
    return (1 - torch.exp(-relative)).pow(4).sum(dim=-1)


def _size(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)


def _aspect_angle(boxes: Tensor) -> Tensor:
    width, height = _size(boxes).unbind(-1)
    return torch.atan2(width, height + _EPS)
