"""When a training has stopped to improve."""

from typing import Any

from utils.engine.hook import Hook
from utils.engine.run import Run


class EarlyStopping(Hook):
    """Ends a training whose best epoch is `patience` epochs ago, patience at least 1.

    Epochs that are not evaluated end nothing.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.latest_epoch: int | None = None
        """The last epoch that was evaluated, from 1."""

    def before_training(self, run: Run) -> None:
        """End a training that was resumed after it had ended."""
        self._stop_if_due(run)

    def after_epoch(self, run: Run) -> None:
        """End the training if it is time."""
        if run.metrics["map50_95"] is not None:
            self.latest_epoch = run.epoch
            self._stop_if_due(run)

    def _stop_if_due(self, run: Run) -> None:
        if self.latest_epoch is None or run.best is None:
            return
        if self.latest_epoch - run.best.epoch >= self.patience:
            run.stop(f"no better mAP50-95 for {self.patience} epochs")

    def state(self) -> dict[str, Any]:
        """Return what `load_state` restores."""
        return {"latest_epoch": self.latest_epoch}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the memory; `patience` stays as it is set."""
        self.latest_epoch = state["latest_epoch"]
