"""Download one file over HTTP: mirrors, resume, checksum; nothing half-written under its name.

The standard library fetches (it knows proxies from the environment); what it lacks, going on with a
broken download and refusing what is not the file that was asked for, is here. requests and pooch
do not resume either and would bring five packages.
"""

import contextlib
import hashlib
import http.client
import json
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from utils.runtime.errors import UserError
from utils.runtime.files.http_file import (
    BrokenError,
    RefusedError,
    open_file,
    range_start,
    scheme_of,
    shown,
    total_bytes,
    version_of,
)
from utils.runtime.progress import progress_bar

ATTEMPTS = 5
"""Of each mirror, one after the other; what was received before stays."""
_BLOCK = 1 << 20
_SPARE_BYTES = 64 << 20
_logger = logging.getLogger(__name__)

Sleep = Callable[[float], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """One file and where to get it."""

    urls: tuple[str, ...]
    """http or https, tried in this order; passwords and queries in them are never shown."""
    sha256: str | None = None
    """Of the whole file or its leading digits, hexadecimal; None where it is not known, then only
    the length counts."""
    num_bytes: int | None = None
    """Length; None where it is not known."""


def download(file: RemoteFile, target: Path, *, sleep: Sleep = time.sleep) -> Path:
    """Bring `file` to `target` and return it; does nothing where it lies there already.

    What was received of a broken download is kept beside `target` as NAME.part and used the next
    time, if the server says that its file has not changed.

    Args:
        file: what to fetch.
        target: file to write; folders are made.
        sleep: waits so many seconds between attempts.

    Raises:
        UserError: no mirror gave the file, the disk is full, or `target` is another file.
    """
    if target.exists():
        fault = _fault(file, target)
        if fault:
            raise UserError(f"{target} exists but {fault}; delete it to download it anew")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target)
    faults = []
    with part.locked():
        if part.num_bytes == file.num_bytes and file.sha256 and not _fault(file, part.path):
            part.finish()
            return target
        for url in file.urls:
            try:
                _from_mirror(file, url, part, sleep)
            except RefusedError as refusal:
                _logger.info("%s: %s", shown(url), refusal)
                faults.append(f"{shown(url)}: {refusal}")
                continue
            part.finish()
            return target
    raise UserError(f"cannot download {target.name}: " + "; ".join(faults or ["no address given"]))


class _Part:
    """The beginning of a file, and what its server called that version of it."""

    def __init__(self, target: Path) -> None:
        self._target = target
        self.path = target.with_name(f"{target.name}.part")
        self._facts = target.with_name(f"{target.name}.part.json")

    @property
    def num_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def version(self, url: str) -> str:
        """Return the ETag or date that `url` had, empty where that is not known."""
        try:
            facts = json.loads(self._facts.read_text(encoding="utf-8"))
            return str(facts["version"]) if facts["url"] == _digest(url) else ""
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def begin(self, url: str, version: str) -> None:
        self.clear()
        self._facts.write_text(json.dumps({"url": _digest(url), "version": version}))

    def clear(self) -> None:
        # Emptied, not removed: the lock is on this very file.
        self.path.open("wb").close()
        self._facts.unlink(missing_ok=True)

    def finish(self) -> None:
        os.replace(self.path, self._target)
        self._facts.unlink(missing_ok=True)

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from writing the same file, where the system has such locks."""
        with self.path.open("ab") as handle:
            try:
                import fcntl

                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except ImportError:  # Windows
                pass
            except OSError as error:
                raise UserError(f"another process is downloading {self._target}") from error
            yield
        if self.path.exists() and not self.num_bytes:
            self.path.unlink()


def _from_mirror(file: RemoteFile, url: str, part: _Part, sleep: Sleep) -> None:
    """Complete `part` from one mirror.

    Raises:
        RefusedError: this mirror cannot give the file.
    """
    if scheme_of(url) not in ("http", "https"):
        raise RefusedError("only http and https are fetched")
    reason = ""
    for attempt in range(ATTEMPTS):
        if attempt:
            _logger.info("%s: %s; trying again", shown(url), reason)
            sleep(min(2.0**attempt, 30.0))
        try:
            _receive(file, url, part)
            break
        except BrokenError as error:
            reason = str(error)
    else:
        raise RefusedError(f"{reason} ({ATTEMPTS} attempts)")
    fault = _fault(file, part.path)
    if fault:
        part.clear()
        raise RefusedError(fault)


def _receive(file: RemoteFile, url: str, part: _Part) -> None:
    """Append what is missing, or begin anew where the server has another version."""
    start = _usable_start(file, url, part)
    with open_file(url, start, part.version(url)) as response:
        if response.status == 206 and range_start(response) == start:
            _logger.info("%s: going on at %s", shown(url), _megabytes(start))
        else:
            start = 0
            part.begin(url, version_of(response))
        total = total_bytes(response, start)
        if None not in (total, file.num_bytes) and total != file.num_bytes:
            part.clear()
            raise RefusedError(f"has {total:,} bytes, expected are {file.num_bytes:,}")
        _require_space(part.path, (total or file.num_bytes or 0) - start)
        received = start + _append(response, part, start, total or file.num_bytes)
    if total is not None and received < total:
        raise BrokenError(f"the connection broke at {_megabytes(received)} of {_megabytes(total)}")


def _usable_start(file: RemoteFile, url: str, part: _Part) -> int:
    """Return how many bytes can be kept.

    With a checksum any mirror may go on with the bytes of another: a mixture would be noticed.
    """
    start = part.num_bytes
    is_known = bool(part.version(url)) or file.sha256 is not None
    is_short = file.num_bytes is None or start < file.num_bytes
    return start if is_known and is_short else 0


def _append(response: http.client.HTTPResponse, part: _Part, start: int, total: int | None) -> int:
    """Write what comes to the end of the part and return its number of bytes."""
    received = 0
    bar = progress_bar("download", total=total, initial=start, unit="B")
    bar.unit_scale = True
    with part.path.open("r+b") as handle, bar:
        handle.seek(start)
        handle.truncate()
        for block in _blocks(response):
            received += len(block)
            if total is not None and start + received > total:
                raise RefusedError(f"sends more than {total:,} bytes")
            _write(handle, block)
            bar.update(len(block))
    return received


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while True:
        try:
            block = response.read1(_BLOCK)
        except (OSError, http.client.HTTPException) as error:
            raise BrokenError(f"the connection broke ({type(error).__name__})") from error
        if not block:
            return
        yield block


def _write(handle: IO[bytes], block: bytes) -> None:
    try:
        handle.write(block)
    except OSError as error:
        raise UserError(f"cannot write {handle.name}: {error.strerror}") from error


def _fault(file: RemoteFile, path: Path) -> str:
    """Return why the file at `path` is not `file`, empty where it is."""
    size = path.stat().st_size
    if file.num_bytes is not None and size != file.num_bytes:
        return f"has {size:,} bytes, expected are {file.num_bytes:,}"
    if file.sha256 is not None and not file_sha256(path).startswith(file.sha256.lower()):
        return "has another SHA-256 than stated: it is damaged or another file"
    return ""


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content, hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _require_space(path: Path, missing: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if missing + _SPARE_BYTES > free:
        raise UserError(
            f"{path.parent} has {_megabytes(free)} free, the download needs {_megabytes(missing)}"
        )


def _digest(url: str) -> str:
    # Addresses may hold secrets: they are told apart without being written down.
    return hashlib.sha256(url.encode()).hexdigest()


def _megabytes(number: int) -> str:
    return f"{number / 1e6:,.1f} MB"
