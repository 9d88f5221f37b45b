"""The numbers of every epoch for TensorBoard."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from utils.engine.hook import Hook
from utils.engine.run import Run
from utils.runtime.errors import UserError


class TensorBoard(Hook):
    """Writes the row of metrics.csv, and what other hooks measured, as events.

    Raises:
        UserError: the tensorboard package is not installed.
    """

    def __init__(self, folder: Path) -> None:
        if find_spec("tensorboard") is None:
            raise UserError(
                "train.tensorboard needs the package tensorboard: pip install tensorboard"
            )
        self._folder = folder
        self._writer: Any = None

    def before_training(self, run: Run) -> None:
        """Write the numbers of the start, if it was evaluated."""
        if run.metrics:
            self._write(run)

    def after_epoch(self, run: Run) -> None:
        """Write the numbers of the epoch."""
        self._write(run)

    def _write(self, run: Run) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # slow, and only here

            # What an interrupted run wrote beyond its checkpoint is overwritten.
            self._writer = SummaryWriter(str(self._folder), purge_step=run.epoch)
        for name, value in {**run.metrics, **run.extras}.items():
            if value is not None and name != "epoch":
                self._writer.add_scalar(name, value, run.epoch)
        self._writer.flush()

    def after_training(self, run: Run) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
