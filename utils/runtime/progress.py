"""Progress bars on a terminal and in a notebook, plain lines in a log file."""

import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterable
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
    description: str,
    *,
    total: int | None,
    initial: int = 0,
    unit: str = "batch",
    over: Iterable[Any] | None = None,
    delay: float = 0.0,
) -> "tqdm[Any]":
    """Return a bar that starts at `initial` of `total`: on stderr if that is a terminal, below the
    cell of a notebook; silent elsewhere.

    A `total` of None, for streams without an end, only counts. Iterating over the bar yields `over`
    and moves it; it appears after `delay` seconds.
    """
    is_notebook = in_notebook()
    return (_notebook_bar() if is_notebook else tqdm)(
        over,
        desc=description,
        total=total,
        initial=initial,
        unit=unit,
        delay=delay,
        disable=False if is_notebook else None,  # None is tqdm's word for: only on a terminal
        leave=False,
        dynamic_ncols=True,
        mininterval=0.5,
    )


def in_notebook() -> bool:
    """Tell whether this process is the kernel of a notebook; its stderr is no terminal."""
    get_ipython = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_ipython() if get_ipython is not None else None
    return shell is not None and "IPKernelApp" in shell.config


def _notebook_bar() -> "type[tqdm[Any]]":
    """Return a bar of widgets, one of text where ipywidgets is not installed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that ipywidgets could be installed
        from tqdm.auto import tqdm as automatic_bar

    return automatic_bar


def format_duration(seconds: float) -> str:
    """Return seconds as h:mm:ss or m:ss."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
