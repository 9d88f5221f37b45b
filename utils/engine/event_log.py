"""The same numbers for TensorBoard, if asked for."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from utils.runtime.errors import UserError


class EventLog:
    """Writes each epoch's numbers as TensorBoard events; a disabled one does nothing.

    Raises:
        UserError: enabled, but the tensorboard package is not installed.
    """

    def __init__(self, folder: Path, *, enabled: bool) -> None:
        if enabled and find_spec("tensorboard") is None:
            raise UserError(
                "train.tensorboard needs the package tensorboard: pip install tensorboard"
            )
        self._folder = folder
        self._enabled = enabled
        self._writer: Any = None

    def add(self, row: Mapping[str, int | float | None]) -> None:
        """Write the numbers of one epoch."""
        if not self._enabled:
            return
        epoch = row["epoch"]
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # slow, and only here

            # What an interrupted run wrote beyond its checkpoint is overwritten.
            self._writer = SummaryWriter(str(self._folder), purge_step=epoch)
        for name, value in row.items():
            if value is not None and name != "epoch":
                self._writer.add_scalar(name, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
