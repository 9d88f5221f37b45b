"""Non-maximum suppression: raw predictions to detections by score threshold, candidate limit, NMS.

There is no time limit: an image is never left without its detections, and limits that cut something
are reported. Suppression itself is torchvision's compiled operator, without the rest of
torchvision: `import torchvision` loads its networks and with them torch's compiler, most of the
start-up time of val.py and predict.py, for code that they do not use. Legend: A anchors per cell, C
classes, H W cells of a level, N candidates of one image.
"""

import importlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from models.inference.box_voting import vote
from models.inference.candidates import Candidates, RankedCandidates
from utils.structures.exact import in_float64
from utils.structures.predictions import Predictions
from utils.structures.results import Detections
from utils.structures.scored_cells import ScoredCells

FIRST_PREFIX = 4
"""Candidates tried first in suppression, in multiples of the detections to keep."""
PREFIX_GROWTH = 8
ONE_PASS = 1200
"""Candidates up to which all classes together are compared faster than one after the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postprocessed:
    """Detections of a batch in the network frame, one entry per image.

    at_candidate_cap: the image had more candidates than `max_candidates`. at_detection_cap: more
    boxes survived than `max_detections`. Where either is true, a higher limit changes the result.
    """

    detections: tuple[Detections, ...]
    at_candidate_cap: tuple[bool, ...]
    at_detection_cap: tuple[bool, ...]


def join(parts: Sequence[Postprocessed]) -> Postprocessed:
    """Return the images of all parts, in their order."""
    return Postprocessed(
        detections=tuple(each for part in parts for each in part.detections),
        at_candidate_cap=tuple(each for part in parts for each in part.at_candidate_cap),
        at_detection_cap=tuple(each for part in parts for each in part.at_detection_cap),
    )


class Postprocess:
    """Greedy non-maximum suppression per class, the same for every batch composition.

    A score is objectness times class score, or the class score alone. Candidates are taken by
    descending score, equal scores in order of level, anchor, row, column, class. One that overlaps
    a kept box of its class by more than `iou_threshold` is dropped.
    """

    def __init__(
        self,
        *,
        score_threshold: float = 0.001,
        iou_threshold: float = 0.6,
        max_detections: int = 300,
        max_candidates: int = 30000,
        multi_label: bool = True,
        class_agnostic: bool = False,
        box_voting: float | None = None,
    ) -> None:
        """Keep the settings.

        Args:
            score_threshold: only scores above it count, 0 to 1.
            iou_threshold: largest overlap of two kept boxes of a class, 0 to 1.
            max_detections: most detections of an image, best first.
            max_candidates: most candidates of an image that enter suppression, best first.
            multi_label: every class of a cell above the threshold is a candidate; else its best.
            class_agnostic: boxes suppress those of other classes too.
            box_voting: IoU from which candidates vote on a kept box, 0 to 1; None leaves the boxes
                as they are.

        Raises:
            ValueError: a threshold or limit is out of range.
        """
        if not 0 <= score_threshold < 1 or not 0 <= iou_threshold <= 1:
            raise ValueError(
                f"thresholds must be in [0, 1], got score {score_threshold}, IoU {iou_threshold}"
            )
        if min(max_detections, max_candidates) < 1:
            raise ValueError(f"limits must be from 1, got {max_detections}, {max_candidates}")
        self.score_threshold = score_threshold
        self.iou_threshold = iou_threshold
        self.max_detections = max_detections
        self.max_candidates = max_candidates
        self.multi_label = multi_label
        self.class_agnostic = class_agnostic
        self.box_voting = box_voting

    def __call__(self, predictions: Predictions | ScoredCells) -> Postprocessed:
        """Return the detections of every image, on the predictions' device, boxes not clipped.

        On a CPU its compute threads share the images, because most steps of one image are too
        small for more than one of them.
        """
        first = predictions.levels[0]
        threads = min(torch.get_num_threads(), len(first)) if first.device.type == "cpu" else 1
        single = partial(self._of_image, predictions)
        if threads < 2:
            return join([single(image) for image in range(len(first))])
        with ThreadPoolExecutor(threads) as pool:
            return join(list(pool.map(single, range(len(first)))))

    @torch.no_grad()  # threads do not inherit it
    def _of_image(self, predictions: Predictions | ScoredCells, image: int) -> Postprocessed:
        ranked = RankedCandidates(
            predictions,
            image,
            score_threshold=self.score_threshold,
            limit=self.max_candidates,
            multi_label=self.multi_label,
        )
        kept, has_more_detections = self._suppress(ranked)
        boxes = kept.boxes
        if self.box_voting is not None:
            boxes = vote(kept, predictions, image, overlap=self.box_voting)
        return Postprocessed(
            detections=(Detections(boxes=boxes, scores=kept.scores, labels=kept.labels),),
            at_candidate_cap=(ranked.exceed_limit(),),
            at_detection_cap=(has_more_detections,),
        )

    def _suppress(self, ranked: RankedCandidates) -> tuple[Candidates, bool]:
        """Return the survivors, at most `max_detections`, and whether there were more.

        Suppression runs on the best few first: what survives among them does not depend on what
        comes after, so if they are enough the result is that of the whole, for a fraction of the
        comparisons. If not, their survivors stand for them in the next round.
        """
        length = FIRST_PREFIX * self.max_detections
        candidates, is_all = ranked.first(length)
        survivors = candidates.take(self._survivors(candidates))
        while len(survivors) <= self.max_detections and not is_all:
            seen, length = len(candidates), length * PREFIX_GROWTH
            candidates, is_all = ranked.first(length)
            contenders = survivors.join(candidates.take(slice(seen, None)))
            survivors = contenders.take(self._survivors(contenders))
        best = survivors.take(slice(self.max_detections))
        return best, len(survivors) > self.max_detections

    def _survivors(self, candidates: Candidates) -> Tensor:
        """Return the indices (K,) of those that no better one of their class covers, best first."""
        boxes = in_float64(candidates.boxes)
        kept = self._suppressed(boxes, candidates.labels.to(boxes.device))
        return kept.to(candidates.boxes.device)

    def _suppressed(self, boxes: Tensor, labels: Tensor) -> Tensor:
        """As `_survivors`, of boxes (N, 4) in float64 and labels (N,)."""
        ranks = -torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)
        if self.class_agnostic or not len(boxes):
            return nms(boxes, ranks, self.iou_threshold)
        if boxes.device.type == "cpu" and len(boxes) > ONE_PASS:
            order = labels.argsort(stable=True)
            sizes = [size for size in labels.bincount().tolist() if size]
            parts = zip(
                order.split(sizes),
                boxes[order].split(sizes),
                ranks[order].split(sizes),
                strict=True,
            )
            kept = [
                places[nms(of_class, ranks_in_it, self.iou_threshold)]
                for places, of_class, ranks_in_it in parts
            ]
            return torch.cat(kept).sort().values
        # Classes are moved to where they cannot meet; in float64, because in float32 the shift
        # would cost digits and change which boxes survive.
        span = boxes.max() - boxes.min() + 1
        return nms(boxes + (labels * span)[:, None], ranks, self.iou_threshold)


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
