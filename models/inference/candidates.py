"""The candidates of one image, best first; cells are decoded only when needed.

Suppression looks at a few hundred of up to millions of scores. What a cell's best score can be is
known from one look at the raw output; cells below it wait until they are needed.
Legend: C classes, N candidates, P cells of all levels in the order of `Predictions.decode`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch import Tensor

from utils.structures.predictions import Predictions
from utils.structures.scored_cells import ScoredCells

FEW_CELLS = 4096
"""Cells decoded at once: choosing among fewer saves nothing."""
GROWTH = 8
"""How many times more cells are decoded where the first ones were not enough."""
MARGIN = 2e-6
"""Relative margin of a bound over the score it bounds: more than float32 may round."""
TINY = 1e-37


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """boxes (N, 4) float32 xyxy px of the network frame, scores (N,), labels (N,) of one image."""

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    def take(self, chosen: Tensor | slice) -> "Candidates":
        """Return the candidates with indices (K,), or a view of those in a row."""
        return Candidates(
            boxes=self.boxes[chosen], scores=self.scores[chosen], labels=self.labels[chosen]
        )

    def join(self, others: "Candidates") -> "Candidates":
        """Return these candidates followed by the others."""
        return Candidates(
            boxes=torch.cat((self.boxes, others.boxes)),
            scores=torch.cat((self.scores, others.scores)),
            labels=torch.cat((self.labels, others.labels)),
        )


class RankedCandidates:
    """Scores above a threshold by descending score, at most `limit` of them.

    A score is objectness times class score, or the class score alone. Equal ones keep the order of
    level, anchor, row, column, class. With `multi_label` every class of a cell is a candidate, else
    its best one.
    """

    def __init__(
        self,
        predictions: Predictions | ScoredCells,
        image: int,
        *,
        score_threshold: float,
        limit: int,
        multi_label: bool,
    ) -> None:
        self._predictions = predictions
        self._image = image
        self._threshold = score_threshold
        self._limit = limit
        self._multi_label = multi_label
        levels = range(len(predictions.levels))
        caps = [predictions.score_caps(level, image) for level in levels]
        self._starts = torch.tensor((0, *accumulate(each.numel() for each in caps)))
        self._cells, self._bounds = self._above_threshold(caps)
        if len(self._cells) > FEW_CELLS:
            best = [predictions.best_scores(level, image) for level in levels]
            self._cells, self._bounds = self._above_threshold(best)

    def first(self, count: int) -> tuple[Candidates, bool]:
        """Return the best `count` candidates, or all if there are fewer, and whether it is all."""
        count = min(count, self._limit)
        num_cells = count
        while max(num_cells, FEW_CELLS) < len(self._cells):
            boxes, scores, rest = self._decode_best(num_cells)
            # The rest may be NaN: then nothing is known to be better.
            known = _places((scores > self._threshold) & (scores > rest))
            if len(known) >= count:
                return _best(boxes, scores, known, count), count == self._limit
            num_cells *= GROWTH
        candidates, _ = self._all
        return candidates.take(slice(count)), len(candidates) <= count

    def exceed_limit(self) -> bool:
        """Tell whether there are more candidates than `limit`."""
        per_cell = self._predictions.num_classes if self._multi_label else 1
        num_cells = self._limit // per_cell + 1
        if len(self._cells) * per_cell <= self._limit:
            return False
        while max(num_cells, FEW_CELLS) < len(self._cells):
            _, scores, _ = self._decode_best(num_cells)
            if int((scores > self._threshold).sum()) > self._limit:
                return True
            num_cells *= GROWTH
        _, total = self._all
        return total > self._limit

    def _above_threshold(self, best_scores: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the cells (P,) that may contain a candidate and upper bounds of their scores (P,).

        best_scores: of each level, in the shape of its cells.
        """
        bounds = torch.cat([each.flatten() for each in best_scores]) * (1 + MARGIN) + TINY
        # Not "above the threshold", which a NaN is not either: its cell may have other classes.
        cells = _places(~(bounds <= self._threshold))
        return cells, bounds[cells]

    def _decode_best(self, num_cells: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return boxes (P, 4), scores (P, C) of the cells of the best bounds, and the next bound.

        `num_cells` of them, of which there are more, in the order of cells.
        """
        best = self._bounds.topk(num_cells + 1)
        chosen = self._cells[best.indices[:-1].sort().values]
        return *self._scored(chosen), best.values[-1]

    @cached_property
    def _all(self) -> tuple[Candidates, int]:
        """All candidates up to the limit, and how many there are without it."""
        boxes, scores = self._scored(self._cells)
        known = _places(scores > self._threshold)
        return _best(boxes, scores, known, self._limit), len(known)

    def _scored(self, cells: Tensor) -> tuple[Tensor, Tensor]:
        """Return boxes (P, 4) and scores (P, C) of cells (P,), which ascend, in their order."""
        borders = torch.searchsorted(cells, self._starts.to(cells.device)).tolist()
        parts = []
        for level, (begin, end) in enumerate(pairwise(borders)):
            boxes, objectness, class_scores = self._predictions.decode_cells(
                level, self._image, cells[begin:end] - self._starts[level]
            )
            parts.append((boxes, objectness[:, None] * class_scores))
        all_boxes, scores = (torch.cat(part) for part in zip(*parts, strict=True))
        if not self._multi_label:
            best = scores.max(dim=1, keepdim=True)
            scores = torch.full_like(scores, -1.0).scatter(1, best.indices, best.values)
        return all_boxes, scores


def _best(boxes: Tensor, scores: Tensor, known: Tensor, count: int) -> Candidates:
    """Return the best `count` of the entries `known` of scores (P, C), best first."""
    flat = scores.flatten()
    if len(known) > count:
        # topk breaks ties as it likes, so it only finds the score of the last one.
        last = flat[known].topk(count).values[-1]
        known = known[flat[known] >= last]
    order = flat[known].argsort(descending=True, stable=True)
    chosen = known[order[:count]]
    cell, labels = chosen // scores.shape[1], chosen % scores.shape[1]
    return Candidates(boxes=boxes[cell], scores=flat[chosen], labels=labels)


def _places(mask: Tensor) -> Tensor:
    """Return where `mask` is true, as indices (N,) into it flattened."""
    if mask.device.type == "cpu":
        # A sixth of the time of `nonzero`.
        return torch.from_numpy(np.flatnonzero(mask.numpy()))
    return mask.flatten().nonzero().squeeze(1)
