"""Greedy non-maximum suppression: torchvision's compiled operator, without the rest of torchvision.

`import torchvision` loads its networks and with them torch's compiler: most of the start-up time of
val.py and predict.py, for code that they do not use.
"""

import importlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

LIBRARIES = "_C*"
"""Files that may contain the operators; their names differ between versions and systems."""


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Return the indices (K,) int64 of the boxes that survive, by descending score; no gradient.

    Args:
        boxes: (N, 4) xyxy, one frame; N may be 0.
        scores: (N,) of the boxes' type.
        iou_threshold: a box that overlaps a better survivor by more is dropped, 0 to 1.
    """
    _load_operators()
    kept: Tensor = torch.ops.torchvision.nms(boxes, scores, iou_threshold)
    return kept


@cache
def _load_operators() -> None:
    """Load the operators of torchvision; the whole package where that is needed."""
    package = find_spec("torchvision")
    folders = (package.submodule_search_locations or ()) if package is not None else ()
    for library in (file for folder in folders for file in sorted(Path(folder).glob(LIBRARIES))):
        try:
            torch.ops.load_library(library)
        except OSError:
            continue
    if not hasattr(torch.ops.torchvision, "nms"):
        importlib.import_module("torchvision.ops")
