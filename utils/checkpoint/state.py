"""State to resume from: `state.safetensors` and `state.json` in a folder, replaced as one.

The new state is written whole beside the old one and then takes its name; the old one stays as
`<folder>.previous`, so that there is one to fall back on if the newest turns out damaged.
"""

import hashlib
import json
import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from utils.checkpoint.tree import flatten, unflatten
from utils.checkpoint.weights import DamagedFileError, format_tensor_file, read_tensor_file
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import cannot_write, sync_folder, write_durably
from utils.runtime.files.json_file import parse_json
from utils.runtime.files.regular_file import LARGEST_FILE, read_regular

FORMAT_VERSION = 1
TENSORS = "state.safetensors"
VALUES = "state.json"

logger = logging.getLogger(__name__)


def save_state(folder: Path, tree: Any) -> None:
    """Replace the state in `folder` by `tree` (see `tree.flatten` for what it may hold).

    Whenever the process dies, one whole state can be loaded: the old one or the new one.

    Raises:
        UserError: not writable or full; the state saved before is untouched.
    """
    fresh, previous = _fresh(folder), _previous(folder)
    try:
        _finish_interrupted_swap(folder)
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        _write(fresh, tree)
        if folder.exists():
            shutil.rmtree(previous, ignore_errors=True)
            os.rename(folder, previous)
        os.rename(fresh, folder)
        sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        with suppress(OSError):
            _finish_interrupted_swap(folder)
        raise cannot_write(folder, error) from error


def has_state(folder: Path) -> bool:
    """Tell whether a complete state was ever written, even if it is damaged now."""
    if folder.is_dir() or _previous(folder).is_dir():
        return True
    try:
        _read(_fresh(folder))
    except UserError:
        return False
    return True


def load_state(folder: Path) -> Any:
    """Return the newest complete state of `folder`; a damaged newer one is named in a warning.

    Tensors are on the CPU.

    Raises:
        UserError: there is no state, or none that is whole.
    """
    faults = []
    # A fresh folder that is whole was about to take the name: it is the newest there is.
    for candidate in (_fresh(folder), folder, _previous(folder)):
        if not candidate.is_dir():
            continue
        try:
            tree = _read(candidate)
        except DamagedFileError as error:
            if candidate != _fresh(folder) or not folder.exists():  # else an unfinished write
                faults.append(str(error))
            continue
        for fault in faults:
            logger.warning("%s; resuming from the checkpoint before it, %s", fault, candidate)
        return tree
    if faults:
        raise UserError(f"no checkpoint in {folder} can be used: {'; '.join(faults)}")
    raise UserError(f"{folder}: no checkpoint to resume from; start the run again without --resume")


def _fresh(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.new")


def _previous(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.previous")


def _finish_interrupted_swap(folder: Path) -> None:
    """Give the newest state back its name if the process died (or failed) between two renames."""
    for candidate in (_fresh(folder), _previous(folder)):
        if not folder.exists() and candidate.exists():
            os.rename(candidate, folder)


def _write(folder: Path, tree: Any) -> None:
    values, tensors = flatten(tree)
    checksum = _values_checksum(FORMAT_VERSION, values)
    header = {"kind": "state", "values": checksum}
    content = {"format_version": FORMAT_VERSION, "checksum": checksum, "values": values}
    write_durably(folder / TENSORS, format_tensor_file(tensors, header))
    write_durably(folder / VALUES, json.dumps(content, allow_nan=False).encode())
    sync_folder(folder)


def _read(folder: Path) -> Any:
    path = folder / VALUES
    try:
        content = parse_json(read_regular(path, limit=LARGEST_FILE), source=path)
        values, checksum, version = (
            content[key] for key in ("values", "checksum", "format_version")
        )
    except (UserError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{path} is missing or damaged ({type(error).__name__})") from error
    if _values_checksum(version, values) != checksum:
        raise DamagedFileError(f"{path} is damaged: its content does not match its checksum")
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path} has format version {version}, this program reads {FORMAT_VERSION}; finish the "
            "training with the version of the program that began it, environment.json names it"
        )
    if not (folder / TENSORS).is_file():
        raise DamagedFileError(f"{folder / TENSORS} is missing")
    tensors, header = read_tensor_file(folder / TENSORS)
    if header.get("values") != checksum:
        raise DamagedFileError(f"{folder}: {TENSORS} and {VALUES} are of different checkpoints")
    try:
        return unflatten(values, tensors)
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        raise DamagedFileError(f"{folder}: {VALUES} does not describe a state") from error


def _values_checksum(version: Any, values: Any) -> str:
    return hashlib.sha256(json.dumps([version, values], sort_keys=True).encode()).hexdigest()
