"""Progress bars on a terminal, plain lines in a log file."""

import logging
import os
import sys
import threading
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from utils.runtime.screen import say

# tqdm's own lock is a semaphore that forked processes share: one that is killed while it writes a
# line leaves it taken, and every other process waits for ever. Only one process draws bars here.
tqdm.set_lock(threading.RLock())


class _BarFriendlyHandler(logging.Handler):
    """Writes records to stderr above a running bar instead of through it.

    A line that cannot be written is dropped: logging must not stop the program.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("torch.") and record.levelno < logging.WARNING:
            return  # on an interruption torch logs its caches
        text = self.format(record)
        if any(not bar.disable for bar in getattr(tqdm, "_instances", ())):
            with suppress(OSError, ValueError), tqdm.external_write_mode(file=sys.stderr):
                say(text)
        else:
            say(text)


def start_logging(level: int = logging.INFO) -> None:
    """Log to stderr: information without prefix, warnings with their level.

    Of the processes of torchrun all but the first log warnings only.
    """
    root = logging.getLogger()
    if not any(isinstance(handler, _BarFriendlyHandler) for handler in root.handlers):
        handler = _BarFriendlyHandler()
        handler.setFormatter(_LevelFormatter())
        root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING) if is_silent_process() else level)


def is_silent_process() -> bool:
    """Tell whether this is one of several processes of a training run, and not the first."""
    return os.environ.get("RANK", "0") != "0"


class _LevelFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        return text if record.levelno < logging.WARNING else f"{record.levelname.lower()}: {text}"


def progress_bar(
    description: str, *, total: int | None, initial: int = 0, unit: str = "batch"
) -> "tqdm[Any]":
    """Return a bar on stderr that starts at `initial` of `total`; silent unless on a terminal.

    A `total` of None, for streams without an end, only counts.
    """
    return tqdm(
        desc=description,
        total=total,
        initial=initial,
        unit=unit,
        disable=None,  # tqdm's word for: only on a terminal
        leave=False,
        dynamic_ncols=True,
        mininterval=0.5,
    )


def format_duration(seconds: float) -> str:
    """Return seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
