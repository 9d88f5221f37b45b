"""Slow references: one element or one box at a time, nothing broadcast, nothing to get wrong.

They are written from the formulas, not from the code under test.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor


def slow_overlap(a: list[float], b: list[float], kind: str) -> float:
    """Overlap of two xyxy boxes with area, plain Python."""
    left, top = max(a[0], b[0]), max(a[1], b[1])
    right, bottom = min(a[2], b[2]), min(a[3], b[3])
    intersection = max(right - left, 0.0) * max(bottom - top, 0.0)
    area_a, area_b = (a[2] - a[0]) * (a[3] - a[1]), (b[2] - b[0]) * (b[3] - b[1])
    union = area_a + area_b - intersection
    iou = intersection / union
    hull_width = max(a[2], b[2]) - min(a[0], b[0])
    hull_height = max(a[3], b[3]) - min(a[1], b[1])
    if kind == "iou":
        return iou
    if kind == "giou":
        hull = hull_width * hull_height
        return iou - (hull - union) / hull
    shift_x, shift_y = (a[0] + a[2] - b[0] - b[2]) / 2, (a[1] + a[3] - b[1] - b[3]) / 2
    distance = (shift_x**2 + shift_y**2) / (hull_width**2 + hull_height**2)
    if kind == "diou":
        return iou - distance
    angle_a = math.atan((a[2] - a[0]) / (a[3] - a[1]))
    angle_b = math.atan((b[2] - b[0]) / (b[3] - b[1]))
    v = 4 / math.pi**2 * (angle_b - angle_a) ** 2
    return iou - distance - (v / (v - iou + 1) * v if v else 0.0)


def naive_focal(
    x: Tensor, t: Tensor, *, gamma: float, alpha: float | None, form: str, pos_weight: float = 1.0
) -> Tensor:
    """The textbook formula, differentiated by autograd: right in the middle, NaN in the tails."""
    p = x.sigmoid()
    plain = F.binary_cross_entropy_with_logits(x, t, reduction="none")
    weight = torch.tensor(pos_weight, dtype=x.dtype)
    bce = F.binary_cross_entropy_with_logits(x, t, pos_weight=weight, reduction="none")
    miss = {
        "linear": 1 - (t * p + (1 - t) * (1 - p)),
        "exp": 1 - torch.exp(-plain),
        "quality": (t - p).abs(),
    }[form]
    alpha_t = 1.0 if alpha is None else t * alpha + (1 - t) * (1 - alpha)
    return alpha_t * miss**gamma * bce


def slow_focal(x: float, t: float, gamma: float, alpha: float) -> float:
    """Linear form in log space, double precision, one element."""

    def log_sigmoid(y: float) -> float:
        return min(y, 0.0) - math.log1p(math.exp(-abs(y)))

    parts = []
    if t > 0:
        parts.append(math.log(t) + log_sigmoid(-x))
    if t < 1:
        parts.append(math.log(1 - t) + log_sigmoid(x))
    top = max(parts)
    log_miss = top + math.log(sum(math.exp(part - top) for part in parts))
    bce = -t * log_sigmoid(x) - (1 - t) * log_sigmoid(-x)
    return (t * alpha + (1 - t) * (1 - alpha)) * math.exp(gamma * log_miss) * bce


@dataclass(frozen=True)
class SlowMatch:
    """One cell that answers for one target, sorted as the assigner lists them."""

    slot: int
    anchor: int
    target: int
    image: int
    row: int
    column: int


def slow_cells(x: float, y: float, width: int, height: int) -> list[tuple[int, int, int]]:
    """(slot, column, row) of the distinct cells around a centre in grid units."""

    def clamp(value: float, count: int) -> int:
        return min(max(math.floor(value), 0), count - 1)

    def fraction(value: float) -> float:
        return value - math.floor(value)

    column, row = clamp(x, width), clamp(y, height)
    found = [(0, column, row)]
    if fraction(x) < 0.5 and x > 1:
        found.append((1, clamp(x - 0.5, width), row))
    if fraction(width - x) < 0.5 and width - x > 1:
        found.append((1, clamp(x + 0.5, width), row))
    if fraction(y) < 0.5 and y > 1:
        found.append((2, column, clamp(y - 0.5, height)))
    if fraction(height - y) < 0.5 and height - y > 1:
        found.append((2, column, clamp(y + 0.5, height)))
    own = (column, row)
    return [cell for cell in found if cell[0] == 0 or cell[1:] != own]


def slow_matches(
    boxes: list[list[float]],
    images: list[int],
    anchors: list[list[float]],
    *,
    stride: int,
    grid: tuple[int, int],
    max_ratio: float,
) -> list[SlowMatch]:
    """Every match of one level, by loops; `grid` is (height, width)."""
    matches = []
    for target, (x1, y1, x2, y2) in enumerate(boxes):
        width, height = x2 - x1, y2 - y1
        for anchor, (anchor_width, anchor_height) in enumerate(anchors):
            if width <= 0 or height <= 0:
                continue
            ratios = [width / anchor_width, height / anchor_height]
            if max(ratios + [1 / ratio for ratio in ratios]) >= max_ratio:
                continue
            x, y = (x1 + x2) / 2 / stride, (y1 + y2) / 2 / stride
            for slot, column, row in slow_cells(x, y, grid[1], grid[0]):
                matches.append(SlowMatch(slot, anchor, target, images[target], row, column))
    return sorted(matches, key=lambda match: (match.slot, match.anchor, match.target))
