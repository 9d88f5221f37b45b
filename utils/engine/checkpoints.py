"""When the state of a training is written, and by whom."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from utils.checkpoint.state import load_state, save_state
from utils.runtime.errors import UserError


class Checkpoints:
    """Writes states to `folder`, now and then and when asked to.

    With several processes the first one alone writes: all of them are in the same state.
    """

    def __init__(self, folder: Path, *, minutes: float, is_writer: bool) -> None:
        self._folder = folder
        self._interval_s = minutes * 60
        self._is_writer = is_writer
        self.restart_clock()

    def restart_clock(self) -> None:
        """Count the time to the next checkpoint from now on."""
        self._saved_at = time.monotonic()

    @property
    def is_due(self) -> bool:
        """Tell whether this process has to write one for the time that has passed."""
        return self._is_writer and time.monotonic() - self._saved_at >= self._interval_s

    def save(self, state: Callable[[], Any]) -> None:
        """Write what `state` returns.

        Raises:
            UserError: not writable or full; the state saved before is untouched.
        """
        if self._is_writer:
            save_state(self._folder, state())
        self.restart_clock()


def restore(folder: Path, load: Callable[[dict[str, Any]], None]) -> None:
    """Give `load` the newest whole state in `folder`.

    Raises:
        UserError: there is none, or it is not one that `load` understands.
    """
    state = load_state(folder)
    try:
        load(state)
    except (RuntimeError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{folder} is of another training; restore the configuration it was started with "
            f"({error})"
        ) from error
