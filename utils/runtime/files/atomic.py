"""Atomic writes: after a crash a file is either the old or the new one."""

import errno
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from utils.runtime.errors import UserError
from utils.runtime.printable import shortened


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file `path` by `data`; after a crash it has its old content or all of the new.

    The bytes go to a temporary name in the same folder, reach the disk, and are then renamed.

    Raises:
        UserError: the folder is missing, not writable or full; the old file is untouched.
    """
    temporary = path.with_name(
        f".{os.getpid()}.tmp"
        if len(os.fsencode(path.name)) > 200
        else f".{path.name}.{os.getpid()}.tmp"
    )
    try:
        write_durably(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except (OSError, ValueError) as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError, ValueError):
            temporary.unlink()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file `path` by indented JSON, atomically."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, text + "\n")


def write_text(path: Path, text: str) -> None:
    """Replace the file `path` by UTF-8 text, atomically.

    File names that are not UTF-8, and surrogates in class names, are escaped.
    """
    write_atomically(path, encode_text(text))


def encode_text(text: str) -> bytes:
    """Return text as UTF-8; characters it cannot encode are escaped."""
    return text.encode("utf-8", errors="backslashreplace")


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until the disk has it; an OSError leaves a partial file."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Make names created in `folder` survive a power loss, where the system can do that."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders and needs none of this
        return
    try:
        os.fsync(handle)
    except OSError:  # some network file systems refuse
        return
    finally:
        os.close(handle)


_ADVICE = {
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EEXIST: "something else has that name; choose another one",
    errno.ENOENT: "its folder does not exist; create it or name another one",
    errno.ENOTDIR: "a file stands where a folder is needed; choose another name",
    errno.EISDIR: "a folder has that name; name a file",
}


class BadNameError(UserError):
    """One file that cannot be written for its name, where others still can."""


def cannot_write(path: Path, error: OSError | ValueError) -> UserError:
    """Return the error to raise where `path` could not be written."""
    if not isinstance(error, OSError):
        return BadNameError(f"cannot write {shortened(path)}: no file can have such a name")
    reason = error.strerror or str(error)
    advice = _ADVICE.get(error.errno or 0)
    if advice is None:
        advice = "free space or choose another run.folder"
        return UserError(f"cannot write {shortened(path)}: {reason}; {advice}")
    return BadNameError(f"cannot write {shortened(path)}: {reason}; {advice}")
