"""Output to stderr and stdout that never blocks the program.

A pipe whose reader has stopped blocks its writer for ever. So nothing is written unless there is
room; dropped lines are counted and reported later.
"""

import io
import os
import select
import sys
import time
from contextlib import suppress
from typing import TextIO

from utils.runtime.printable import printable_lines

WAIT_S = 1.0
"""Seconds that a line waits for a slow reader."""
LAST_WAIT_S = 0.2
"""Seconds that what libraries have left in a buffer waits at the end."""
_CHUNK = getattr(select, "PIPE_BUF", 512)
"""Bytes that a pipe accepts at once if it has any room."""


class Screen:
    """Writes lines to a stream; those that are not read are dropped."""

    def __init__(self) -> None:
        self.dropped = 0
        self._silent_since = 0.0

    def write(self, text: str, stream: TextIO | None) -> bool:
        """Write a line, control characters shown as escapes; return False if it was dropped.

        Once a reader has been too slow, lines are dropped without waiting until there is room.
        """
        if stream is None:
            return False
        line = printable_lines(text) + "\n"
        if self.dropped and _has_room(stream, 0.0):
            pause = time.monotonic() - self._silent_since
            lost = f"{self.dropped} lines were not written: nobody read them for {pause:.0f} s"
            self.dropped = 0
            _put(f"{lost}\n", stream, 0.0)
        if _put(line, stream, 0.0 if self.dropped else WAIT_S):
            return True
        if not self.dropped:
            self._silent_since = time.monotonic()
        self.dropped += 1
        return False


def _put(text: str, stream: TextIO, wait_s: float) -> bool:
    try:
        handle = stream.fileno()
    except (OSError, ValueError, AttributeError):
        return _write_plainly(text, stream)
    if not isinstance(stream, io.TextIOWrapper):
        return _write_plainly(text, stream)  # a notebook's: the handle is that of its kernel
    try:
        stream.flush()
        data = text.encode("utf-8" if stream.encoding is None else stream.encoding, _ERRORS)
        end = time.monotonic() + wait_s
        while data:
            if not _has_room(stream, max(0.0, end - time.monotonic())):
                return False
            data = data[os.write(handle, data[:_CHUNK]) :]
    except (OSError, ValueError, LookupError):
        return False
    return True


_ERRORS = "backslashreplace"


def _write_plainly(text: str, stream: TextIO) -> bool:
    with suppress(OSError, ValueError):
        stream.write(text)
        stream.flush()
        return True
    return False


def _has_room(stream: TextIO, wait_s: float) -> bool:
    """Tell whether a stream accepts a few bytes now, or within some seconds."""
    try:
        handle = stream.fileno()
        if not hasattr(select, "poll"):  # Windows
            return True
        poll = select.poll()
        poll.register(handle, select.POLLOUT)
        events = poll.poll(wait_s * 1000)
    except (OSError, ValueError, AttributeError):
        return True
    return any(event & (select.POLLOUT | select.POLLERR | select.POLLNVAL) for _, event in events)


_stderr, _stdout = Screen(), Screen()


def say(text: str) -> None:
    """Write a line to stderr."""
    _stderr.write(text, sys.stderr)


def show(text: str) -> None:
    """Write results to stdout, waiting for slow readers; stop silently if there is none."""
    if sys.stdout is None:
        return
    with suppress(BrokenPipeError):
        sys.stdout.write(printable_lines(text) + "\n")
        sys.stdout.flush()


def prepare_streams() -> None:
    """Make sure that stdin, stdout and stderr are open and accept every character.

    Where one of them is closed, the next opened file gets its number, and output of libraries ends
    in that file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=_ERRORS)


def forget_unwritten() -> None:
    """Keep the interpreter from failing at exit over text that cannot be written."""
    wait_s = 0.0 if _stderr.dropped else LAST_WAIT_S
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        try:
            if stream is not None and _has_room(stream, wait_s):
                stream.flush()
                continue
        except (OSError, ValueError):
            pass
        setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
