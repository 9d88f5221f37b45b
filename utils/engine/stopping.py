"""When a training has stopped to improve."""

from typing import Any


class EarlyStopping:
    """Remembers the best score and says when it is too long ago.

    `patience` counts epochs since the best one; 0 never stops.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best_score: float | None = None
        self.best_epoch: int | None = None
        self.latest_epoch: int | None = None

    def is_best(self, epoch: int, score: float) -> bool:
        """Take the score of `epoch`; True if it beats all before (an equal one does not)."""
        self.latest_epoch = epoch
        if self.best_score is not None and score <= self.best_score:
            return False
        self.best_score, self.best_epoch = score, epoch
        return True

    @property
    def should_stop(self) -> bool:
        """Tell whether `patience` epochs have passed since the best one."""
        if self.patience == 0 or self.best_epoch is None or self.latest_epoch is None:
            return False
        return self.latest_epoch - self.best_epoch >= self.patience

    def state(self) -> dict[str, Any]:
        """Return what `load_state` restores."""
        return {
            "best_score": self.best_score,
            "best_epoch": self.best_epoch,
            "latest_epoch": self.latest_epoch,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the memory; `patience` stays as it is set."""
        self.best_score = state["best_score"]
        self.best_epoch = state["best_epoch"]
        self.latest_epoch = state["latest_epoch"]
