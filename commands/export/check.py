"""Compare exported files with PyTorch on pictures, before they get their name."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from commands.build.exported import read_detections
from models.inference.export_wrapper import ExportWrapper
from models.inference.nms import Postprocess
from utils.export.description import Description
from utils.export.sessions import Arrays, Session
from utils.runtime.errors import UserError
from utils.structures.batch import Batch
from utils.structures.iou import pairwise_iou
from utils.structures.results import Detections
from utils.structures.scored_cells import ScoredCells

BOX_TOLERANCE = 0.05
"""Pixels of the network frame; rounding of float32 stays below 0.002 at 640 pixels."""
SCORE_TOLERANCE = 1e-4
STRAY_SHARE = 0.01
"""Detections that suppression may decide otherwise where two overlaps or scores are equal but for
rounding; one is always allowed."""
INT8_SCORE = 0.5
INT8_IOU = 0.5
INT8_FOUND_SHARE = 0.5
"""Least share of the objects above `INT8_SCORE` that int8 has to find again; below, something is
wrong, above, the AP tells how good it is."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One batch: pixels (B, 3, H, W), and PyTorch's outputs."""

    pixels: Tensor
    cells: ScoredCells


@torch.no_grad()
def references(network: ExportWrapper, batches: Sequence[Batch]) -> list[Reference]:
    """Return PyTorch's outputs of every batch."""
    made = []
    for batch in batches:
        pixels = batch.pixels()
        boxes, scores = network(pixels)
        made.append(Reference(pixels, ScoredCells(boxes=boxes, scores=scores)))
    return made


def check(
    session: Session,
    description: Description,
    wanted: Sequence[Reference],
    postprocess: Postprocess,
) -> str:
    """Compare a file with PyTorch and return the differences in words.

    Args:
        session: runs the file.
        description: its metadata.
        wanted: outputs of PyTorch.
        postprocess: suppression with the settings of the description.

    Raises:
        UserError: a difference is beyond what is allowed.
    """
    shapes = ", ".join("x".join(map(str, each.pixels.shape)) for each in wanted)
    found = [session(np.ascontiguousarray(each.pixels.numpy())) for each in wanted]
    compare: Compare = _cells_differ
    if description.precision == "int8":
        compare = _int8_differs
    elif description.has_suppression:
        compare = _detections_differ
    return f"{session.runtime}, images {shapes}: {compare(found, wanted, postprocess, description)}"


Compare = Callable[[Sequence[Arrays], Sequence[Reference], Postprocess, Description], str]


def _cells_differ(
    found: Sequence[Arrays], wanted: Sequence[Reference], _: Postprocess, __: Description
) -> str:
    box_differences, score_differences = [], []
    for (boxes, scores), each in zip(found, wanted, strict=True):
        box_differences.append(_largest_difference(boxes, each.cells.boxes))
        score_differences.append(_largest_difference(scores, each.cells.scores))
    box_difference, score_difference = _maximum(box_differences), _maximum(score_differences)
    text = (
        f"boxes within {box_difference:.2g} px of PyTorch's (allowed {BOX_TOLERANCE}), "
        f"scores within {score_difference:.2g} (allowed {SCORE_TOLERANCE})"
    )
    if not (box_difference <= BOX_TOLERANCE and score_difference <= SCORE_TOLERANCE):
        raise UserError(f"the exported network is not the same function: {text}")
    return text


def _detections_differ(
    found: Sequence[Arrays],
    wanted: Sequence[Reference],
    postprocess: Postprocess,
    description: Description,
) -> str:
    limit = description.suppression.max_detections
    num_same = num_wanted = num_found = 0
    for arrays, each in zip(found, wanted, strict=True):
        theirs = read_detections(arrays, limit).detections
        ours = postprocess(each.cells).detections
        num_wanted += sum(map(len, ours))
        num_found += sum(map(len, theirs))
        num_same += sum(map(_count_same, ours, theirs))
    text = (
        f"{num_same} of PyTorch's {num_wanted} detections found, {num_found} in all "
        f"(boxes within {BOX_TOLERANCE} px, scores within {SCORE_TOLERANCE})"
    )
    if max(num_wanted, num_found) - num_same > max(1, STRAY_SHARE * num_wanted):
        raise UserError(f"the exported network gives other detections: {text}")
    return text


def _int8_differs(
    found: Sequence[Arrays],
    wanted: Sequence[Reference],
    postprocess: Postprocess,
    description: Description,
) -> str:
    confident = Postprocess(
        score_threshold=max(INT8_SCORE, postprocess.score_threshold),
        iou_threshold=INT8_IOU,
        multi_label=False,
    )
    num_again = num_wanted = 0
    for arrays, each in zip(found, wanted, strict=True):
        if description.has_suppression:
            theirs = read_detections(arrays, postprocess.max_detections).detections
        else:
            boxes, scores = (torch.from_numpy(array) for array in arrays)
            theirs = postprocess(ScoredCells(boxes=boxes, scores=scores)).detections
        ours = confident(each.cells).detections
        num_wanted += sum(map(len, ours))
        num_again += sum(map(_count_again, ours, theirs))
    text = f"{num_again} of PyTorch's {num_wanted} objects with score above {INT8_SCORE} found"
    if num_again < INT8_FOUND_SHARE * num_wanted:
        raise UserError(
            f"int8 is too coarse for this network: {text}; "
            "calibrate on more images of your data, or stay with float32"
        )
    return text


def _count_same(ours: Detections, theirs: Detections) -> int:
    """Return how many of `ours` are in `theirs` too, but for rounding."""
    if not len(ours) or not len(theirs):
        return 0
    boxes = (ours.boxes[:, None] - theirs.boxes[None]).abs().amax(-1) <= BOX_TOLERANCE
    scores = (ours.scores[:, None] - theirs.scores[None]).abs() <= SCORE_TOLERANCE
    same = boxes & scores & (ours.labels[:, None] == theirs.labels[None])
    return int(same.any(1).sum())


def _count_again(ours: Detections, theirs: Detections) -> int:
    """Return how many of `ours` have a box of their class among `theirs`."""
    if not len(ours) or not len(theirs):
        return 0
    near = pairwise_iou(ours.boxes, theirs.boxes) >= INT8_IOU
    return int((near & (ours.labels[:, None] == theirs.labels[None])).any(1).sum())


def _largest_difference(found: npt.NDArray[Any], expected: Tensor) -> Tensor:
    if found.shape != tuple(expected.shape):
        raise UserError(
            f"the exported network gives {found.shape} where PyTorch gives {tuple(expected.shape)}"
        )
    return (torch.from_numpy(found) - expected).abs().max()


def _maximum(values: Sequence[Tensor]) -> float:
    """Return the largest of some scalars, NaN where one is; Python's own might overlook it."""
    return float(torch.stack(list(values)).max())
