"""What the trainer needs from others: batches, a loss, an evaluation."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

from torch import nn

from utils.structures.batch import Batch, Targets
from utils.structures.loss_terms import LossTerms
from utils.structures.results import EvalResult


class BatchSource(Protocol):
    """Training batches, reproducible for an epoch and position."""

    def __len__(self) -> int:
        """Return the number of batches per epoch, at least 1."""
        ...

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` (from 0) beginning with number `start` (from 0).

        Must not depend on global random state: the trainer reseeds it at every batch.
        """
        ...


class Criterion(Protocol):
    """The training loss."""

    def __call__(self, predictions: Any, targets: Targets) -> LossTerms:
        """Return the terms of a batch in float32; `predictions` may be in reduced precision."""
        ...


Evaluate = Callable[[nn.Module], EvalResult]
"""Evaluates a network in evaluation mode; leaves its weights, buffers and structure unchanged."""
