"""Merge the detections of several views of one picture.

A plain suppression of all boxes would keep an object twice where the border of a tile cuts it: the
cut box overlaps the whole one too little. So a cut box is suppressed by any whole box that covers
it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from models.inference.nms import nms
from utils.structures.results import Detections

BLOCK = 256


def merge(
    views: Sequence[Detections],
    is_cut: Sequence[Tensor],
    *,
    iou_threshold: float,
    max_detections: int,
    class_agnostic: bool,
) -> tuple[Detections, bool]:
    """Return the detections of the picture, best first, and whether there were too many of them.

    Args:
        views: detections of each view, on the CPU, boxes in pixels of the picture.
        is_cut: (K,) bool for each view: whether the view's border may cut the box.
        iou_threshold: largest overlap of two kept boxes of a class, 0 to 1; a cut box goes, too,
            where a larger share of it is in a whole box of its class from another view.
        max_detections: most detections kept.
        class_agnostic: boxes suppress those of other classes too.
    """
    boxes = torch.cat([found.boxes for found in views])
    scores = torch.cat([found.scores for found in views])
    labels = torch.cat([found.labels for found in views])
    cut = torch.cat(list(is_cut))
    source = torch.repeat_interleave(torch.tensor([len(found) for found in views]))
    apart = _apart(boxes, labels, class_agnostic)
    order = scores.argsort(descending=True, stable=True)
    whole = order[~cut[order]]
    kept = whole[_suppress(apart[whole], iou_threshold)]
    broken = order[cut[order]]
    # In blocks: all pairs of the boxes of a very large picture would not fit into memory.
    covered = [
        (
            (_share_within(apart[block], apart[kept]) > iou_threshold)
            & (source[block][:, None] != source[kept])
        ).any(dim=1)
        for block in broken.split(BLOCK)
    ]
    kept = torch.cat([kept, broken[~torch.cat(covered)]])
    kept = kept[scores[kept].argsort(descending=True, stable=True)]
    kept = kept[_suppress(apart[kept], iou_threshold)]
    first = kept[:max_detections]
    merged = Detections(boxes=boxes[first], scores=scores[first], labels=labels[first])
    return merged, len(kept) > max_detections


def _suppress(boxes: Tensor, iou_threshold: float) -> Tensor:
    """Return the rows of boxes (K, 4), best first, that survive; in their order."""
    ranks = -torch.arange(len(boxes), dtype=boxes.dtype)
    return nms(boxes, ranks, iou_threshold)


def _apart(boxes: Tensor, labels: Tensor, class_agnostic: bool) -> Tensor:
    """Return boxes (K, 4) in float64, those of different classes where they cannot meet."""
    exact = boxes.double()
    if class_agnostic or not len(exact):
        return exact
    span = exact.max() - exact.min() + 1
    return exact + (labels * span)[:, None]


def _share_within(boxes: Tensor, others: Tensor) -> Tensor:
    """Return (K, M): the share of the area of boxes (K, 4) within others (M, 4).

    0 for a box without area.
    """
    start = torch.maximum(boxes[:, None, :2], others[None, :, :2])
    end = torch.minimum(boxes[:, None, 2:], others[None, :, 2:])
    common = (end - start).clamp(min=0).prod(dim=-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(dim=-1)
    return common / area.clamp(min=1e-9)[:, None]
