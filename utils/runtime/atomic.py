"""Files that are either the old one or the new one, whatever happens while they are written."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from utils.runtime.errors import UserError


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file `path` by `data`; after a crash it holds its old content or all of the new.

    The bytes go to a temporary name in the same folder, reach the disk, and are then renamed.

    Raises:
        UserError: the folder is missing, not writable or full; the old file is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write_durably(temporary, data)
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        raise cannot_write(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace the file `path` by indented JSON, atomically."""
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    write_atomically(path, (text + "\n").encode())


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


def cannot_write(path: Path, error: OSError) -> UserError:
    """Return the error to raise where `path` could not be written."""
    reason = error.strerror or str(error)
    return UserError(f"cannot write {path}: {reason}; free space or choose another run.folder")
