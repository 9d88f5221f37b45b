"""Assignment by predictions one pair at a time, in plain Python and double precision."""

import math
from dataclasses import dataclass, field

from utils.structures.batch import Targets
from utils.structures.predictions import Predictions

Box = list[float]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x > -700 else 0.0


def iou(a: Box, b: Box) -> float:
    width = max(min(a[2], b[2]) - max(a[0], b[0]), 0.0)
    height = max(min(a[3], b[3]) - max(a[1], b[1]), 0.0)
    areas = [max(c[2] - c[0], 0.0) * max(c[3] - c[1], 0.0) for c in (a, b)]
    union = sum(areas) - width * height
    return width * height / union if union > 0 else 0.0


@dataclass
class Cell:
    """One cell of an image: its point, stride, predicted box, logits, objectness logit."""

    x: float
    y: float
    stride: float
    box: Box
    logits: list[float]
    objectness: float | None


@dataclass
class Result:
    """Target, -1 for none, and quality of every cell of an image."""

    target: list[int] = field(default_factory=list)
    quality: list[float] = field(default_factory=list)


def cells_of(predictions: Predictions, image: int, offset: float = 0.5) -> list[Cell]:
    boxes = iter(predictions.decode().boxes[image].double().tolist())
    cells = []
    for raw, stride in zip(predictions.levels, predictions.strides, strict=True):
        for row in range(raw.shape[2]):
            for column in range(raw.shape[3]):
                parts = predictions.split(raw[image, 0, row, column].double())
                objectness = None if parts.objectness is None else float(parts.objectness)
                point = ((column + offset) * stride, (row + offset) * stride)
                cells.append(Cell(*point, stride, next(boxes), parts.classes.tolist(), objectness))
    return cells


def is_inside(cell: Cell, box: Box) -> bool:
    return box[0] < cell.x < box[2] and box[1] < cell.y < box[3]


def has_area(box: Box) -> bool:
    return box[2] > box[0] and box[3] > box[1]


def grown(box: Box, smallest: float) -> Box:
    missing = [max(smallest - (box[i + 2] - box[i]), 0) / 2 for i in (0, 1)]
    return [box[0] - missing[0], box[1] - missing[1], box[2] + missing[0], box[3] + missing[1]]


def slow_task_aligned(
    cells: list[Cell],
    boxes: list[Box],
    labels: list[int],
    *,
    alpha: float,
    beta: float,
    topk: int,
    smallest: float,
    rescue: bool,
) -> Result:
    """The rule of `TaskAlignedAssigner` for one image."""
    claims: dict[int, list[tuple[float, int, float]]] = {}
    for index, (box, label) in enumerate(zip(boxes, labels, strict=True)):
        if not has_area(box):
            continue
        overlaps = [iou(cell.box, box) for cell in cells]
        scores = [
            sigmoid(c.logits[label]) * (1 if c.objectness is None else sigmoid(c.objectness))
            for c in cells
        ]
        aligned = [s**alpha * u**beta for s, u in zip(scores, overlaps, strict=True)]
        mask = grown(box, smallest)
        wanted = [p for p, c in enumerate(cells) if is_inside(c, mask) and aligned[p] > 0]
        wanted = sorted(wanted, key=lambda p: -aligned[p])[:topk]
        if not wanted and rescue:
            centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
            if max(aligned) > 0:
                wanted = [max(range(len(cells)), key=lambda p: aligned[p])]
            else:
                near = [math.dist((c.x, c.y), centre) for c in cells]
                wanted = [min(range(len(cells)), key=lambda p: near[p])]
        for place in wanted:
            claims.setdefault(place, []).append((overlaps[place], index, aligned[place]))
    result = Result([-1] * len(cells), [0.0] * len(cells))
    kept: dict[int, list[tuple[int, float, float]]] = {}
    for place, bids in claims.items():
        overlap, index, alignment = max(bids, key=lambda bid: (bid[0], -bid[1]))
        result.target[place] = index
        kept.setdefault(index, []).append((place, alignment, overlap))
    for own in kept.values():
        best = max(alignment for _, alignment, _ in own)
        largest = max(overlap for _, _, overlap in own)
        for place, alignment, _ in own:
            result.quality[place] = alignment / (best + 1e-9) * largest
    return result


def bce(p: float, t: float) -> float:
    logs = [max(math.log(v), -100.0) if v > 0 else -100.0 for v in (p, 1 - p)]
    return -t * logs[0] - (1 - t) * logs[1]


def simota_cost(cell: Cell, box: Box, label: int, *, radius: float, center_only: bool) -> float:
    overlap = iou(cell.box, box)
    cost = -3 * math.log(overlap + 1e-8)
    for index, logit in enumerate(cell.logits):
        score = sigmoid(logit)
        if cell.objectness is not None:
            score = math.sqrt(score * sigmoid(cell.objectness))
        cost += bce(score, float(index == label))
    near = is_near(cell, box, radius)
    if center_only:
        return cost + (0 if near else 1e6)
    return cost + (0 if near and is_inside(cell, box) else 1e5)


def is_near(cell: Cell, box: Box, radius: float) -> bool:
    reach = radius * cell.stride
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return abs(cell.x - x) < reach and abs(cell.y - y) < reach


def soft_label_cost(cell: Cell, box: Box, label: int) -> float:
    overlap = iou(cell.box, box)
    cost = -3 * math.log(overlap + 1e-7)
    for index, logit in enumerate(cell.logits):
        t, p = overlap if index == label else 0.0, sigmoid(logit)
        cost += (math.log1p(math.exp(logit)) - logit * t) * (t - p) ** 2
    centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
    return cost + 10 ** (math.dist((cell.x, cell.y), centre) / cell.stride - 3)


def slow_dynamic_k(
    cells: list[Cell],
    boxes: list[Box],
    costs: list[list[float]],
    is_candidate: list[bool],
    num_overlaps: int,
) -> Result:
    """The rule of `DynamicKAssigner` for one image, costs[target][cell]."""
    result = Result([-1] * len(cells), [0.0] * len(cells))
    takers: dict[int, list[int]] = {}
    for index, box in enumerate(boxes):
        if not has_area(box):
            continue
        places = [p for p in range(len(cells)) if is_candidate[p]]
        overlaps = sorted((iou(cells[p].box, box) for p in places), reverse=True)
        wanted = max(1, math.floor(sum(overlaps[:num_overlaps])))
        for place in sorted(places, key=lambda p: costs[index][p])[:wanted]:
            takers.setdefault(place, []).append(index)
    valid = [index for index, box in enumerate(boxes) if has_area(box)]
    for place, own in takers.items():
        among = own if len(own) == 1 else valid
        index = min(among, key=lambda i: (costs[i][place], i))
        result.target[place] = index
        result.quality[place] = iou(cells[place].box, boxes[index])
    return result


def per_image(targets: Targets, image: int) -> tuple[list[int], list[Box], list[int]]:
    """Return the indices, boxes and labels of the targets of an image."""
    own = [i for i, j in enumerate(targets.image_index.tolist()) if j == image]
    boxes, labels = targets.boxes.double().tolist(), targets.labels.tolist()
    return own, [boxes[i] for i in own], [labels[i] for i in own]
