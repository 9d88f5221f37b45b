"""Slow references of box losses: one pair of xyxy boxes with area, from the papers' formulas."""

import math
from collections.abc import Sequence

from tests.oracles import slow_overlap

Box = Sequence[float]


def _sides(box: Box) -> tuple[float, float]:
    return box[2] - box[0], box[3] - box[1]


def _centre(box: Box) -> tuple[float, float]:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2


def _hull(a: Box, b: Box) -> tuple[float, float]:
    return max(a[2], b[2]) - min(a[0], b[0]), max(a[3], b[3]) - min(a[1], b[1])


def iou(a: Box, b: Box) -> float:
    return slow_overlap(list(a), list(b), "iou")


def eiou(a: Box, b: Box) -> float:
    """Zhang et al. 2021, equation 6: IoU less distance, width and height."""
    hull_width, hull_height = _hull(a, b)
    (ax, ay), (bx, by) = _centre(a), _centre(b)
    (aw, ah), (bw, bh) = _sides(a), _sides(b)
    distance = ((ax - bx) ** 2 + (ay - by) ** 2) / (hull_width**2 + hull_height**2)
    return iou(a, b) - distance - (aw - bw) ** 2 / hull_width**2 - (ah - bh) ** 2 / hull_height**2


def siou(a: Box, b: Box) -> float:
    """Gevorgyan 2022, equations 1 to 13 as printed, with theta = 4: IoU less half of both costs."""
    (ax, ay), (bx, by) = _centre(a), _centre(b)
    sigma = math.hypot(ax - bx, ay - by)
    height = max(ay, by) - min(ay, by)
    angle = 0.0
    if sigma > 0:
        angle = 1 - 2 * math.sin(math.asin(min(height / sigma, 1.0)) - math.pi / 4) ** 2
    gamma = 2 - angle
    hull_width, hull_height = _hull(a, b)
    ratios = (((bx - ax) / hull_width) ** 2, ((by - ay) / hull_height) ** 2)
    distance = sum(1 - math.exp(-gamma * ratio) for ratio in ratios)
    shape = 0.0
    for side_a, side_b in zip(_sides(a), _sides(b), strict=True):
        omega = abs(side_a - side_b) / max(side_a, side_b)
        shape += (1 - math.exp(-omega)) ** 4
    return iou(a, b) - (distance + shape) / 2


def alpha_iou_loss(a: Box, b: Box, kind: str, alpha: float) -> float:
    """He et al. 2021, equations 5 to 9: every part of the loss to the power alpha."""
    overlap = iou(a, b)
    penalties = {
        "iou": [],
        "giou": [overlap - slow_overlap(list(a), list(b), "giou")],
        "diou": [overlap - slow_overlap(list(a), list(b), "diou")],
        "ciou": [
            overlap - slow_overlap(list(a), list(b), "diou"),
            slow_overlap(list(a), list(b), "diou") - slow_overlap(list(a), list(b), "ciou"),
        ],
    }[kind]
    return 1 - overlap**alpha + sum(max(penalty, 0.0) ** alpha for penalty in penalties)
