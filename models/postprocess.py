"""Raw predictions to detections: score threshold, candidate limit, non-maximum suppression.

The only place that imports torchvision. There is no time limit: an image is never left without its
detections, and limits that cut something are reported.
Legend: A anchors per cell, C classes, H W cells of a level, N candidates of one image.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import nms

from utils.structures.predictions import Predictions
from utils.structures.results import Detections

PREFILTER_MARGIN = 1e-3
"""Logits this far below the threshold still pass the first filter; the second is exact."""

FIRST_PREFIX = 4
"""Candidates tried first in suppression, in multiples of the detections wanted."""
PREFIX_GROWTH = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Postprocessed:
    """Detections of a batch in the network frame, one entry per image.

    at_candidate_cap: the image had more candidates than `max_candidates`. at_detection_cap: more
    boxes survived than `max_detections`. Where either is true, a higher limit changes the result.
    """

    detections: tuple[Detections, ...]
    at_candidate_cap: tuple[bool, ...]
    at_detection_cap: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidates:
    """boxes (N, 4), scores (N,), labels (N,) of one image."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def __getitem__(self, chosen: Tensor | slice) -> "_Candidates":
        return _Candidates(
            boxes=self.boxes[chosen], scores=self.scores[chosen], labels=self.labels[chosen]
        )


class Postprocess:
    """Greedy non-maximum suppression per class, the same for every batch composition.

    A score is objectness times class score. Candidates are taken by descending score, equal scores
    in order of level, anchor, row, column, class. One that overlaps a kept box of its class by
    more than `iou_threshold` is dropped.
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
    ) -> None:
        """Keep the settings.

        Args:
            score_threshold: only scores above it count, 0 to 1.
            iou_threshold: largest overlap of two kept boxes of a class, 0 to 1.
            max_detections: most detections of an image, best first.
            max_candidates: most candidates of an image that enter suppression, best first.
            multi_label: every class of a cell above the threshold is a candidate; else its best.
            class_agnostic: boxes suppress those of other classes too.

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

    @torch.no_grad()
    def __call__(self, predictions: Predictions) -> Postprocessed:
        """Return the detections of every image, on the predictions' device, boxes not clipped."""
        images = range(len(predictions.levels[0]))
        detections, candidate_caps, detection_caps = [], [], []
        for image in images:
            candidates = self._candidates(predictions, image)
            candidate_caps.append(len(candidates.scores) > self.max_candidates)
            kept, is_cut = self._suppress(self._best_first(candidates))
            detections.append(Detections(boxes=kept.boxes, scores=kept.scores, labels=kept.labels))
            detection_caps.append(is_cut)
        return Postprocessed(
            detections=tuple(detections),
            at_candidate_cap=tuple(candidate_caps),
            at_detection_cap=tuple(detection_caps),
        )

    def _candidates(self, predictions: Predictions, image: int) -> _Candidates:
        """Return every (cell, class) whose score is above the threshold, in cell order.

        Only cells whose objectness alone is above the threshold are decoded: the class score is at
        most 1, so no other cell can hold a candidate.
        """
        parts = []
        for level, raw in enumerate(predictions.levels):
            cells = (raw[image, ..., 4].float() > self._objectness_floor()).nonzero()  # (N, 3)
            parts.append(predictions.decode_cells(level, image, cells))
        boxes, objectness, class_scores = (torch.cat(part) for part in zip(*parts, strict=True))
        scores = objectness[:, None] * class_scores
        if self.multi_label:
            cell, labels = (scores > self.score_threshold).nonzero(as_tuple=True)
            return _Candidates(boxes=boxes[cell], scores=scores[cell, labels], labels=labels)
        best, labels = scores.max(dim=1)
        return _Candidates(boxes=boxes, scores=best, labels=labels)[best > self.score_threshold]

    def _objectness_floor(self) -> float:
        """Return the objectness logit below which no score can be above the threshold."""
        if self.score_threshold == 0:
            return -math.inf
        return math.log(self.score_threshold / (1 - self.score_threshold)) - PREFILTER_MARGIN

    def _best_first(self, candidates: _Candidates) -> _Candidates:
        """Return the best `max_candidates` by descending score, equal scores in cell order."""
        if len(candidates.scores) > self.max_candidates:
            # topk breaks ties as it likes, so it only finds the score at the limit
            limit = candidates.scores.topk(self.max_candidates).values[-1]
            candidates = candidates[candidates.scores >= limit]
        order = candidates.scores.argsort(descending=True, stable=True)
        return candidates[order[: self.max_candidates]]

    def _suppress(self, ranked: _Candidates) -> tuple[_Candidates, bool]:
        """Return the survivors, at most `max_detections`, and whether there were more.

        Suppression runs on the best few first: what survives among them does not depend on what
        comes after, so if they are enough the result is that of the whole, for a fraction of the
        comparisons.
        """
        boxes = self._apart(ranked)
        ranks = -torch.arange(len(boxes), device=boxes.device, dtype=boxes.dtype)
        length = FIRST_PREFIX * self.max_detections
        while True:
            kept = nms(boxes[:length], ranks[:length], self.iou_threshold)
            if len(kept) > self.max_detections or length >= len(boxes):
                return ranked[kept[: self.max_detections]], len(kept) > self.max_detections
            length *= PREFIX_GROWTH

    def _apart(self, candidates: _Candidates) -> Tensor:
        """Return the boxes in float64, those of different classes moved to where they cannot meet.

        In float32 the shift would cost digits and change which boxes survive.
        """
        boxes = candidates.boxes.double()
        if self.class_agnostic or not len(boxes):
            return boxes
        span = boxes.max() - boxes.min() + 1
        return boxes + (candidates.labels * span)[:, None]
