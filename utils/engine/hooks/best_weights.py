"""The best weights so far, on disk."""

from collections.abc import Mapping
from typing import Any

from utils.checkpoint.weights import save_weights
from utils.engine.hook import Hook
from utils.engine.run import Run


class BestWeights(Hook):
    """Writes best.safetensors whenever an epoch beats all before; without validation the last one.

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
        """Keep the last weights of a training that was not evaluated epoch by epoch."""
        wanted = run.epoch if run.best is None else run.best.epoch
        if run.is_finished and self._written != wanted:
            self._write(run)

    def _write(self, run: Run) -> None:
        score = None if run.best is None else run.best.score
        metadata = {**self._metadata, "epoch": run.epoch, "map50_95": score}
        save_weights(run.folder.best, run.average_model.state_dict(), metadata)
        self._written = run.epoch

    def state(self) -> dict[str, Any]:
        """Return what `load_state` restores."""
        return {"written": self._written}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore which epoch the file is of."""
        self._written = state["written"]
