"""How a training ended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class TrainingStopped(KeyboardInterrupt):
    """The person or the system asked to stop; the state was saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSummary:
    """The figures of a training that came to its end."""

    epochs: int
    """Epochs trained."""
    steps: int
    """Optimizer steps."""
    images_per_second: float
    """Over all training, without validation."""
    seconds: float
    """Of training, without validation."""
    best_epoch: int | None
    """Epoch of best.safetensors, from 1; None without validation data: the last one is saved."""
    best_result: Mapping[str, Any] | None
    """EvalResult.to_json() of that epoch."""
    batches_left_out: int
    """Whose loss or gradient was not finite."""
