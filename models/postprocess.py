"""Raw predictions to detections: score threshold, candidate limit, non-maximum suppression.

There is no time limit: an image is never left without its
detections, and limits that cut something are reported.
Legend: A anchors per cell, C classes, H W cells of a level, N candidates of one image.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from models.suppression import nms
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

    def take(self, chosen: Tensor) -> "_Candidates":
        """Return the candidates with indices (K,)."""
        return _Candidates(
            boxes=self.boxes[chosen], scores=self.scores[chosen], labels=self.labels[chosen]
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
        detections, candidate_caps, detection_caps = [], [], []
        for image in range(len(predictions.levels[0])):
            boxes, scores = self._scored_cells(predictions, image)
            ranked, has_more_candidates = self._rank(boxes, scores)
            kept, has_more_detections = self._suppress(ranked)
            detections.append(Detections(boxes=kept.boxes, scores=kept.scores, labels=kept.labels))
            candidate_caps.append(has_more_candidates)
            detection_caps.append(has_more_detections)
        return Postprocessed(
            detections=tuple(detections),
            at_candidate_cap=tuple(candidate_caps),
            at_detection_cap=tuple(detection_caps),
        )

    def _scored_cells(self, predictions: Predictions, image: int) -> tuple[Tensor, Tensor]:
        """Return boxes (N, 4) and scores (N, C) of all cells that can hold a candidate, in order.

        Only cells whose score may be above the threshold are decoded. With objectness, that alone
        decides: the class score is at most 1.
        """
        parts = []
        for level in range(len(predictions.levels)):
            bounds = predictions.score_bounds(level, image)
            cells = (bounds > self._logit_floor()).nonzero()  # (N, 3)
            boxes, objectness, class_scores = predictions.decode_cells(level, image, cells)
            parts.append((boxes, objectness[:, None] * class_scores))
        all_boxes, scores = (torch.cat(part) for part in zip(*parts, strict=True))
        return all_boxes, scores

    def _logit_floor(self) -> float:
        """Return the logit that a cell has to exceed for a score above the threshold."""
        if self.score_threshold == 0:
            return -math.inf
        return math.log(self.score_threshold / (1 - self.score_threshold)) - PREFILTER_MARGIN

    def _rank(self, boxes: Tensor, scores: Tensor) -> tuple[_Candidates, bool]:
        """Return the best candidates, best first, and whether there were more than allowed.

        A candidate is an entry of scores (N, C) above the threshold; equal ones keep their order.
        """
        if not self.multi_label:
            best = scores.max(dim=1, keepdim=True)
            scores = torch.full_like(scores, -1.0).scatter(1, best.indices, best.values)
        flat = scores.flatten()
        chosen = (flat > self.score_threshold).nonzero().squeeze(1)
        has_more = len(chosen) > self.max_candidates
        if has_more:
            # topk breaks ties as it likes, so it only finds the score at the limit
            limit = flat[chosen].topk(self.max_candidates).values[-1]
            chosen = chosen[flat[chosen] >= limit]
        order = flat[chosen].argsort(descending=True, stable=True)
        chosen = chosen[order[: self.max_candidates]]
        cell, labels = chosen // scores.shape[1], chosen % scores.shape[1]
        return _Candidates(boxes=boxes[cell], scores=flat[chosen], labels=labels), has_more

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
                return ranked.take(kept[: self.max_detections]), len(kept) > self.max_detections
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
