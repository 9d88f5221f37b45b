"""What the trainer needs from others: batches, a loss, an evaluation."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from torch import nn

from utils.metrics.scored import ScoredDetections
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


class Evidence(Protocol):
    """What the last evaluation looked at and found, for those who show it."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names by class index."""
        ...

    def pictures(self, most: int) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
        """Yield name and picture (H, W, 3) RGB of up to `most` images, at even distances: ground
        truth on the left, detections on the right.
        """
        ...

    def scored(self) -> ScoredDetections:
        """Return every detection with its score and whether it is right at IoU 0.5."""
        ...
