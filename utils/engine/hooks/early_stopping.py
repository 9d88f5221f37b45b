"""Early stopping: a run ends when it has not become better for some epochs."""

from typing import Any

from utils.engine.hook import Hook
from utils.engine.run import Run


class EarlyStopping(Hook):
    """Ends training when the best epoch is `patience` (at least 1) epochs ago.

    Epochs that are not evaluated do not count.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.latest_epoch: int | None = None
        """The last epoch that was evaluated, from 1."""

    def before_training(self, run: Run) -> None:
        """Stop a run that was resumed after early stopping."""
        self._stop_if_due(run)

    def after_epoch(self, run: Run) -> None:
        """Stop if there was no improvement for `patience` epochs."""
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
