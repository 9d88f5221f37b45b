"""Reading files of other programs: regular files only, and none too large.

A pipe, a device or a file of /proc can be named like a picture, and reading one blocks for ever or
fills the memory. Every fault is an `UnreadableFileError`.
"""

import errno
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO

from utils.runtime.errors import UserError
from utils.runtime.printable import shortened

MIB = 1 << 20
USUAL_LIMIT = 1024 * MIB
"""Bytes of the largest label file or picture that is read."""
LARGEST_FILE = 16 * 1024 * MIB
"""Bytes of the largest weights file that is read."""
LARGEST_ANNOTATIONS = 8 * 1024 * MIB
"""Bytes of the largest file with the annotations of a whole data set."""
_OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer is opened at once
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)
_KINDS = (
    (stat.S_ISDIR, "it is a folder"),
    (stat.S_ISFIFO, "it is a pipe (FIFO), not a file"),
    (stat.S_ISCHR, "it is a device, not a file"),
    (stat.S_ISBLK, "it is a device, not a file"),
    (stat.S_ISSOCK, "it is a socket, not a file"),
)
_SYSTEM_FOLDERS = ("/proc/", "/sys/")


class UnreadableFileError(UserError):
    """A file that cannot be read; `reason` says why, `is_missing` that there is none."""

    def __init__(self, path: str | Path, reason: str, *, is_missing: bool = False) -> None:
        super().__init__(f"cannot read {shortened(path)}: {reason}")
        self.reason = reason
        self.is_missing = is_missing

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as the plain message."""
        return UserError, (str(self),)


def read_regular(path: str | Path, *, limit: int = USUAL_LIMIT, first: int | None = None) -> bytes:
    """Return the content of a regular file, or its `first` bytes.

    Args:
        path: the file.
        limit: bytes above which it is refused unread.
        first: how many bytes to read; all where None.

    Raises:
        UnreadableFileError: it is missing, forbidden, not a regular file or too large, or no file
            can have such a name.
    """
    try:
        handle = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    # No file object around the handle: for small label files it would cost as much as reading.
    try:
        size = _require_regular(path, os.fstat(handle), limit)
        return _read(handle, size if first is None else min(first, size))
    except (OSError, ValueError, MemoryError) as error:
        raise _unreadable(path, error) from error
    finally:
        os.close(handle)


def open_regular(path: str | Path, *, limit: int = LARGEST_FILE) -> BinaryIO:
    """Return a regular file open for reading, for readers that seek.

    Raises:
        UnreadableFileError: as of `read_regular`.
    """
    try:
        handle = os.open(path, _OPEN_FLAGS)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    try:
        _require_regular(path, os.fstat(handle), limit)
        return os.fdopen(handle, "rb")
    except BaseException:
        os.close(handle)
        raise


def is_regular(path: str | Path) -> bool:
    """Tell whether there is a regular file (or a link to one); a name no file can have gives no."""
    try:
        status = os.stat(path)
        return stat.S_ISREG(status.st_mode) and not _is_view(path, status)
    except (OSError, ValueError):
        return False


def _require_regular(path: str | Path, status: os.stat_result, limit: int) -> int:
    """Return the size of the file in bytes."""
    if not stat.S_ISREG(status.st_mode):
        reasons = [reason for is_kind, reason in _KINDS if is_kind(status.st_mode)]
        raise UnreadableFileError(path, (reasons or ["it is no regular file"])[0])
    if _is_view(path, status):
        raise UnreadableFileError(path, "it is a view of the system, not a file")
    if status.st_size > limit:
        size, most = status.st_size / MIB, limit / MIB
        raise UnreadableFileError(path, f"it has {size:,.0f} MiB, more than {most:,.0f} MiB")
    return status.st_size


def _is_view(path: str | Path, status: os.stat_result) -> bool:
    """Tell whether the kernel generates the file while it is read; such files report no size."""
    return not status.st_size and os.path.realpath(path).startswith(_SYSTEM_FOLDERS)


def _read(handle: int, size: int) -> bytes:
    data = os.read(handle, size)
    if len(data) == size:
        return data
    parts = [data]  # a network file system, or more than 2 GiB
    while parts[-1]:
        parts.append(os.read(handle, size - sum(map(len, parts))))
    return b"".join(parts)


def _unreadable(path: str | Path, error: BaseException) -> UnreadableFileError:
    if isinstance(error, OSError):
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
        reason = error.strerror or str(error)
        return UnreadableFileError(path, reason, is_missing=missing)
    if isinstance(error, MemoryError):
        return UnreadableFileError(path, "it does not fit into memory")
    return UnreadableFileError(path, "no file can have such a name", is_missing=True)
