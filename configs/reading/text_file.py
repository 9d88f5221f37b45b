"""Reading the text of YAML files: regular files only, none too large; failures have one reason."""

import os
import stat
from pathlib import Path

LARGEST_TEXT = 16 * 2**20
"""Bytes of the largest YAML that is read."""


def read_text(path: Path) -> str:
    """Return the UTF-8 text of a regular file.

    This package imports nothing of ours, so it has a small reader of its own beside the one of
    `utils/runtime/files/regular_file.py`.

    Raises:
        OSError: it cannot be opened.
        ValueError: it is a pipe, a device or too large, has a name no file can have, or contains no
            UTF-8; the text says which.
    """
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISDIR(status.st_mode):
            raise ValueError("Is a directory")
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("it is a pipe or a device, not a file")
        if not status.st_size and os.path.realpath(path).startswith(("/proc/", "/sys/")):
            raise ValueError("it is a view of the system, not a file")
        if status.st_size > LARGEST_TEXT:
            raise ValueError(f"it has {status.st_size / 2**20:,.0f} MiB, no YAML is so large")
        data = file.read(status.st_size)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
