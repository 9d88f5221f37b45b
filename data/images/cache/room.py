"""Size limit and eviction of the cache of decoded images, decided once before a training run.

Nothing is evicted later, so workers need no coordination, and a run loses its images only if
another run starts and needs the room.
"""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data.images.cache.store import LAST_KEY, TEMPORARY_SUFFIX, ImageCache, entry_path
from utils.runtime.files.cache_folder import user_cache_folder

CacheMode = Literal["auto", "off", "disk"]
GIB = 1 << 30
FREE_SHARE = 0.8
"""Largest share of the free disk to use: checkpoints and other programs need room, too."""
ABANDONED_AFTER_S = 3600.0
"""Age of a temporary file after which its writer is considered dead."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    num_bytes: int
    changed: float
    """Time of the last run that used it, seconds since 1970."""


def open_image_cache(
    wanted: Mapping[bytes, int], *, mode: CacheMode, limit_gib: float, folder: Path | None = None
) -> ImageCache | None:
    """Make room for the images of a training run and return their cache; None where there is none.

    The images of other runs, least recently used first, are evicted for those needed now.

    Args:
        wanted: bytes of each image's file by its key.
        mode: `disk` keeps as many images as have room, `auto` all or none, `off` none.
        limit_gib: size of the whole cache, GiB.
        folder: its path; by default in the user's cache folder.
    """
    if mode == "off":
        return None
    folder = folder or user_cache_folder() / "images"
    files = {file.path: file for file in _files(folder)}
    paths = {key: entry_path(folder, key) for key in wanted}
    present = {key: files.pop(path) for key, path in paths.items() if path in files}
    room = _room(folder, [*files.values(), *present.values()], limit_gib)
    last_key = _last_key(wanted, room)
    num_bytes = sum(wanted.values())
    if mode == "auto" and last_key != LAST_KEY:
        _logger.info(
            "images are decoded in every epoch: a cache of them needs %.1f GiB, and %.1f GiB may "
            "be used (train.cache_limit, free disk); train.cache=disk caches a part of them",
            num_bytes / GIB,
            room / GIB,
        )
        return None
    for file in present.values():
        with contextlib.suppress(OSError):
            os.utime(file.path)
    _evict(files.values(), room=room - min(num_bytes, room))
    return ImageCache(folder, last_key=last_key)


def _files(folder: Path) -> Iterator[_File]:
    """Yield the files of the cache, after removing temporary files of dead writers."""
    now = time.time()
    for subfolder in sorted(folder.glob("[0-9a-f][0-9a-f]")):
        with contextlib.suppress(OSError), os.scandir(subfolder) as entries:
            for entry in entries:
                status = entry.stat()
                file = _File(entry.path, status.st_size, status.st_mtime)
                if not entry.name.endswith(TEMPORARY_SUFFIX):
                    yield file
                elif now - file.changed > ABANDONED_AFTER_S:
                    _remove(file.path)


def _room(folder: Path, files: list[_File], limit_gib: float) -> int:
    """Return the bytes available to the cache if everything in it is evicted."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    return int(min(limit_gib * GIB, FREE_SHARE * free + sum(file.num_bytes for file in files)))


def _last_key(wanted: Mapping[bytes, int], room: int) -> bytes:
    """Return the greatest key up to which the needed images fit together."""
    last = b""
    for key in sorted(wanted):
        room -= wanted[key]
        if room < 0:
            return last
        last = key
    return LAST_KEY


def _evict(files: Iterable[_File], *, room: int) -> None:
    """Remove the least recently used files until the rest take at most `room` bytes."""
    for file in sorted(files, key=lambda file: file.changed, reverse=True):
        room -= file.num_bytes
        if room < 0:
            _remove(file.path)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)
