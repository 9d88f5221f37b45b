"""Keep what was read between runs: arrays and plain text in the user's cache folder, never pickle.

An entry is one .npz file with the key of the content it was made from; any other key or a
damaged file means that it is made anew. Never inside the data set.
"""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from utils.runtime.errors import UserError
from utils.runtime.files.cache_folder import user_cache_folder
from utils.runtime.files.json_file import parse_json
from utils.runtime.files.npz_file import read_npz
from utils.runtime.files.regular_file import UnreadableFileError

_META = "meta"
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """Named arrays and JSON-compatible facts."""

    arrays: Mapping[str, npt.NDArray[Any]]
    facts: Mapping[str, Any]


class IndexCache:
    """Entries by name in one folder; safe with several processes that read and write at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def of_user(cls) -> "IndexCache":
        """Return the cache in $FOCALDET_CACHE, else ~/.cache/focaldet."""
        return cls(user_cache_folder())

    def load(self, name: str, key: str) -> CacheEntry | None:
        """Return the entry if it was saved under this key and is whole, else None."""
        try:
            if _is_of_another_user(self._path(name)):
                return None
            arrays = read_npz(self._path(name))
            meta = parse_json(arrays.pop(_META).tobytes(), source=name)
            if meta["key"] != key:
                return None
            return CacheEntry(arrays=arrays, facts=dict(meta["facts"]))
        except (UserError, LookupError, TypeError, ValueError) as error:
            if not (isinstance(error, UnreadableFileError) and error.is_missing):
                _logger.info("%s is damaged and is rebuilt: %s", self._path(name), error)
            return None

    def save(self, name: str, key: str, entry: CacheEntry) -> None:
        """Write the entry, replacing an older one as a whole; a full disk costs only the cache."""
        if any(array.dtype.hasobject for array in entry.arrays.values()):
            raise TypeError("arrays of objects would be pickled")
        meta = {"key": key, "facts": entry.facts}
        text = np.frombuffer(json.dumps(meta).encode("ascii"), np.uint8)
        arrays: dict[str, Any] = {**entry.arrays, _META: text}
        temporary = ""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self._folder, prefix=f".{name}-")
            with os.fdopen(handle, "wb") as file:
                np.savez(file, **arrays)
            os.replace(temporary, self._path(name))
        except OSError as error:
            _logger.warning("the index of labels cannot be saved: %s", error)
            with contextlib.suppress(OSError):
                os.unlink(temporary)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.npz"


def _is_of_another_user(path: Path) -> bool:
    """Tell whether somebody else wrote a file, who may have put other labels there."""
    if not hasattr(os, "getuid"):
        return False
    try:
        return path.stat().st_uid not in (os.getuid(), 0)
    except OSError:
        return False


def hash_parts(parts: Iterable[bytes | str]) -> str:
    """Return the sha256 of the parts as hexadecimal; ("ab", "c") and ("a", "bc") differ."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(len(content).to_bytes(8, "little") + content)
    return digest.hexdigest()


def hash_files(paths: Iterable[Path]) -> str:
    """Return the sha256 of the contents of files of the program.

    As part of a key it makes what another version of the program kept invalid; a version number
    raised by hand is forgotten sooner or later. A file that cannot be read counts as empty.
    """
    return hash_parts(_content_or_empty(path) for path in paths)


def _content_or_empty(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def reader_sources() -> list[Path]:
    """Return the files whose code decides what a record is: a change of one voids the index."""
    here = Path(__file__).parent
    rooms = ("formats", "images", "intake", "records")
    own = sorted(path for room in rooms for path in here.glob(f"{room}/**/*.py"))
    return [*own, here.parent / "configs" / "reading" / "stated_paths.py"]
