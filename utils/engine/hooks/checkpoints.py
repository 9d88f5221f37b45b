"""Hooks for checkpoints and best weights."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from utils.checkpoint.weights import save_weights
from utils.engine.hook import Hook
from utils.engine.run import Run
from utils.structures.loss_terms import LossTerms

logger = logging.getLogger(__name__)


class PeriodicCheckpoints(Hook):
    """Requests a checkpoint after each epoch, and when `minutes` have passed since the last."""

    def __init__(self, minutes: float) -> None:
        self._interval_s = minutes * 60
        self._saved_at = time.monotonic()

    def before_training(self, run: Run) -> None:
        """Start the timer."""
        self._saved_at = time.monotonic()

    def after_step(self, run: Run, losses: LossTerms) -> None:
        """Request a checkpoint if it is due."""
        if time.monotonic() - self._saved_at >= self._interval_s:
            logger.info("checkpoint at %s", run.place)
            self._ask(run)

    def after_epoch(self, run: Run) -> None:
        """Request a checkpoint."""
        self._ask(run)

    def _ask(self, run: Run) -> None:
        run.save()
        self._saved_at = time.monotonic()


class BestWeights(Hook):
    """Writes best.safetensors whenever an epoch is the best so far; without validation the last.

    `metadata` goes into the file.
    """

    def __init__(self, metadata: Mapping[str, Any]) -> None:
        self._metadata = metadata
        self._written: int | None = None
        """Epoch, from 1, of the weights in the file."""

    def after_epoch(self, run: Run) -> None:
        """Keep the weights of the epoch if they are the best."""
        if run.is_best:
            self._write(run)

    def after_training(self, run: Run) -> None:
        """Keep the last weights of a training run that was not evaluated epoch by epoch."""
        wanted = run.epoch if run.best is None else run.best.epoch
        if run.is_finished and self._written != wanted:
            self._write(run)

    def _write(self, run: Run) -> None:
        best = run.best
        score = None if best is None else best.result.get("map50_95", best.score)
        metadata = {**self._metadata, "epoch": run.epoch, "map50_95": score}
        save_weights(run.folder.best, run.average_model.state_dict(), metadata)
        self._written = run.epoch

    def state(self) -> dict[str, Any]:
        """Return what `load_state` restores."""
        return {"written": self._written}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore which epoch the file is of."""
        self._written = state["written"]
