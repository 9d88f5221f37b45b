"""`Branch`: one term of the loss on logits, objectness or classification, over all levels.

The criterion decides the targets of the logits, the losses the value of each element. Here: which
elements count, what their sum is divided by, and the gain of the term.

Legend: L levels, N elements of a level, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from models.distributed import num_ranks, share_of_count, sum_over_ranks
from models.losses.criterion.selection import Selection

Normalizer = Literal["mean", "positives", "ema_positives", "targets"]
TargetKind = Literal["hard", "iou", "aligned"]
"""Target of a match: 1, the overlap with its ground truth, or the quality from the assigner."""

EMA_MOMENTUM = 0.9
"""Share of the old value that `ema_positives` keeps per batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BranchInput:
    """Output and targets of one branch of the head, level by level.

    logits and targets: (N,) or (N, C) each; counted: (N,) bool, which rows mean anything, or None
    for all; level_weights: one factor a level.
    """

    logits: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]
    counted: tuple[Tensor, ...] | None
    level_weights: tuple[float, ...]


class Branch(nn.Module):
    """Gain times the sum over levels of level weight times the reduced loss.

    * mean: by level, over counted rows and classes; the published reduction of YOLO heads. A level
      where nothing counts adds 0.
    * positives: the sum over rows and classes of all levels, divided by the number of matches of
      the batch (Lin et al. 2017, section 4.1), at least 1.
    * ema_positives: the same with a running average of that number, which steadies small batches.
    * targets: the sum over rows and classes of all levels, divided by the sum of the targets of the
      batch, at least 1 (Feng et al. 2021, arXiv 2108.07755).

    Counts and sums are those of all ranks divided by the number of ranks: N ranks of b images train
    like one with N * b.

    Args:
        loss: takes logits and targets, (n,) or (n, C), and returns (n,) or (n, C), not reduced.
            One with `needs_counted` also takes `counted`, (n,) bool or None. One with a `set_term`
            (logits, targets, counted) adds that scalar, which is not divided further.
        gain: factor on the term, at least 0.
        normalizer: what the sum of losses is divided by.
        selection: which elements learn, chosen by their loss; None for all.
        class_weights: factor on the rows of each true class, (C,); rows without one keep 1.
        label_smoothing: e in [0, 1): targets t become t (1 - e) + e / 2, for losses that are
            `over_classes` (one distribution over classes) t (1 - e) + e / C.
        target: what the target of a match is.

    Raises:
        ValueError: label_smoothing out of range.
    """

    positives_average: Tensor
    class_weights: Tensor | None

    def __init__(
        self,
        loss: nn.Module,
        *,
        gain: float,
        normalizer: Normalizer = "mean",
        selection: Selection | None = None,
        class_weights: Sequence[float] | None = None,
        label_smoothing: float = 0.0,
        target: TargetKind = "hard",
    ) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {label_smoothing}")
        if getattr(loss, "reduction", "none") != "none":
            raise ValueError("a branch takes a loss with reduction='none'")
        self.loss = loss
        self.gain = gain
        self.multiplier = 1.0
        """Set by scale matching: brings the loss to the scale of cross-entropy."""
        self.normalizer: Normalizer = normalizer
        self.selection = selection
        self.label_smoothing = label_smoothing
        self.target: TargetKind = target
        weights = None if class_weights is None else torch.tensor(class_weights)
        self.register_buffer("class_weights", weights, persistent=False)
        self.register_buffer("positives_average", torch.zeros(()))

    def forward(self, given: BranchInput, num_positives: Tensor) -> Tensor:
        """Return the term, a scalar; `num_positives` is the number of matches in the batch."""
        values, counted, set_term = self._evaluate(given)
        divisor = self._divisor(given, num_positives)
        term = set_term
        for weight, level, rows in zip(given.level_weights, values, counted, strict=True):
            counting, count = _masked(level, rows, divisor)
            term = term + weight * (counting.sum() / count)
        return self.gain * self.multiplier * term

    def contributions(self, given: BranchInput, num_positives: Tensor) -> tuple[Tensor, ...]:
        """Return what each element (N,) or (N, C) of each level adds to the term.

        The set term belongs to no element and is left out. Values are those that `forward` would
        give next; no running average or count changes, neither here nor in the loss.
        """
        was_training = self.training
        self.eval()
        try:
            values, counted, _ = self._evaluate(given)
            divisor = self._divisor(given, num_positives)
        finally:
            self.train(was_training)
        shares = []
        for weight, level, rows in zip(given.level_weights, values, counted, strict=True):
            counting, count = _masked(level, rows, divisor)
            shares.append(self.gain * self.multiplier * weight * (counting / count))
        return tuple(shares)

    def _evaluate(
        self, given: BranchInput
    ) -> tuple[tuple[Tensor, ...], tuple[Tensor | None, ...], Tensor]:
        """Return losses and counted elements by level, and the term of the whole set."""
        sizes = [len(level) for level in given.logits]
        logits, targets = torch.cat(given.logits), torch.cat(given.targets)
        counted = None if given.counted is None else torch.cat(given.counted)
        smooth = self._smoothed(targets)
        if getattr(self.loss, "needs_counted", False):
            values = self.loss(logits, smooth, counted)
        else:
            values = self.loss(logits, smooth)
        if self.class_weights is not None:
            values = values * _like(_row_weights(targets, self.class_weights), values)
        kept = counted if counted is None else _like(counted, values)
        if self.selection is not None:
            kept = self.selection(values.detach(), _is_positive(targets, values), kept)
        set_term = values.new_zeros(())
        whole = getattr(self.loss, "set_term", None)
        if whole is not None:
            set_term = whole(logits, smooth, counted)
        by_level = (None,) * len(sizes) if kept is None else kept.split(sizes)
        return values.split(sizes), by_level, set_term

    def _smoothed(self, targets: Tensor) -> Tensor:
        if self.label_smoothing == 0:
            return targets
        share = 1 / targets.shape[1] if getattr(self.loss, "over_classes", False) else 0.5
        return targets * (1 - self.label_smoothing) + self.label_smoothing * share

    def _divisor(self, given: BranchInput, num_positives: Tensor) -> Tensor | None:
        if self.normalizer == "mean":
            return None
        if self.normalizer == "targets":
            targets = torch.cat(given.targets)
            if given.counted is not None:
                targets = torch.where(_like(torch.cat(given.counted), targets), targets, 0.0)
            return share_of_count(targets.detach().sum())
        count = sum_over_ranks(num_positives.to(self.positives_average))
        if self.normalizer == "ema_positives":
            average = self.positives_average
            started = average * EMA_MOMENTUM + count * (1 - EMA_MOMENTUM)
            count = torch.where(average > 0, started, count)
            if self.training:
                average.copy_(count)
        return count.clamp(min=1) / num_ranks()


def _masked(
    values: Tensor, counted: Tensor | None, divisor: Tensor | None
) -> tuple[Tensor, Tensor | int]:
    """Return values with 0 where they do not count, and what their sum is divided by."""
    if counted is not None:
        values = torch.where(counted, values, 0.0)
    if divisor is not None:
        return values, divisor
    if counted is None:
        return values, max(values.numel(), 1)
    return values, share_of_count(counted.expand_as(values).sum())


def _row_weights(targets: Tensor, class_weights: Tensor) -> Tensor:
    """Return (n,): the weight of the class with the highest target, 1 where there is none."""
    highest, label = targets.max(dim=1)
    return torch.where(highest > 0, class_weights.to(targets)[label], 1.0)


def _like(rows: Tensor, values: Tensor) -> Tensor:
    """Return rows (n,) broadcastable to values (n,) or (n, C)."""
    return rows if values.ndim == 1 else rows[:, None]


def _is_positive(targets: Tensor, values: Tensor) -> Tensor:
    """Return which elements of values (n,) or (n, C) have a target above 0."""
    positive = targets > 0
    return positive.any(dim=1) if positive.ndim > values.ndim else positive
