"""Checks output files of a command before the work begins."""

import os
from collections.abc import Iterable
from pathlib import Path

from utils.runtime.errors import UserError
from utils.runtime.printable import shortened


def require_target(path: Path, *, option: str, inputs: Iterable[Path] = ()) -> None:
    """Raise UserError unless a file can be written at `path` without destroying anything.

    Args:
        path: the file; one that contains JSON, or nothing, may be replaced.
        option: what names it on the command line.
        inputs: files and folders that the command reads.
    """
    shown = f"{option} {shortened(path)}"
    try:
        os.fsencode(path)
        if "\0" in str(path):  # pathlib does not complain about names that no file can have
            raise ValueError("a NUL")
        if path.is_dir():
            raise UserError(f"{shown}: is a folder; name a file")
        if not path.parent.is_dir():
            raise UserError(
                f"{shown}: there is no folder {shortened(path.parent)}; create it first"
            )
        if any(_is_same(path, each) for each in inputs):
            raise UserError(f"{shown}: is read by this command and not overwritten; name another")
        if path.exists() and not _may_be_replaced(path):
            raise UserError(f"{shown}: is not a JSON file; name another file")
        if not os.access(path.parent, os.W_OK):
            raise UserError(f"{shown}: the folder is not writable; name a file elsewhere")
    except (OSError, ValueError) as error:
        raise UserError(f"{shown}: no file can have such a name") from error


def _is_same(path: Path, other: Path) -> bool:
    try:
        return path.exists() and os.path.samefile(path, other)
    except (OSError, ValueError):
        return False


def _may_be_replaced(path: Path) -> bool:
    """Tell whether a file is empty or begins as JSON does."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(64).lstrip()
    return not start or start[:1] in b"[{"
