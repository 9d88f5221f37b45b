"""metrics.csv: one row per epoch, epoch 0 being the evaluation before the first."""

from pathlib import Path

from utils.engine.history import History, Row
from utils.engine.hook import Hook
from utils.engine.run import Run


class CsvHistory(Hook):
    """Writes `run.metrics` of every epoch; its columns are in `structures/metrics_columns.py`."""

    def __init__(self, path: Path) -> None:
        self._history = History(path)

    def before_training(self, run: Run) -> None:
        """Add the row of the start, if it was evaluated."""
        if run.metrics:
            self._history.append(run.metrics)

    def after_epoch(self, run: Run) -> None:
        """Add the row of the epoch."""
        self._history.append(run.metrics)

    def state(self) -> list[Row]:
        """Return what `load_state` restores."""
        return self._history.state()

    def load_state(self, rows: list[Row]) -> None:
        """Take over the rows of a checkpoint; those of abandoned epochs go."""
        self._history.load_state(rows)
