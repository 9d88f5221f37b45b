"""Facts about image files, cached: usable or not, and their size.

Every image is decoded once; the outcome is kept until the file's size or time of change differs.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.images import header as image_header
from data.images import io as image_io
from data.images import values as image_values
from data.index_cache import CacheEntry, IndexCache, hash_files
from utils.runtime.machine.memory import reuse_freed_memory
from utils.runtime.progress import progress_bar


class Stamp(NamedTuple):
    """Size and time by which a changed file is detected; -1 for a missing file."""

    num_bytes: int
    mtime_ns: int


class ImageFacts(NamedTuple):
    """(height, width) in pixels as a viewer shows the image; `fault`: why it cannot be used,
    `remark`: what is unusual about it.
    """

    stamp: Stamp
    size: tuple[int, int]
    fault: str
    remark: str = ""


def stamp_files(paths: Iterable[str]) -> dict[str, Stamp]:
    """Return size in bytes and time of change of every file."""
    return {path: stamp_file(path) for path in paths}


def inspect_images(
    stamps: Mapping[str, Stamp], *, cache: IndexCache | None, name: str, title: str
) -> dict[str, ImageFacts]:
    """Return the facts about every image, decoding those that are new or changed, in threads.

    Args:
        stamps: by path, from `stamp_files`.
        cache: where facts are kept under `name`; None decodes everything.
        name: entry of the cache.
        title: stands before the progress bar, which shows up after a second.
    """
    modules = (image_header, image_io, image_values)
    key = hash_files(Path(str(module.__file__)) for module in modules)
    try:
        known = _load(cache, name, key) if cache else {}
    except (LookupError, TypeError, ValueError):  # another program's entry
        known = {}
    facts = {
        path: known[path]
        for path, stamp in stamps.items()
        if path in known and known[path].stamp == stamp
    }
    changed = [path for path in stamps if path not in facts]
    if changed:
        reuse_freed_memory()  # each image anew would cost a third of the time
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        inspected = pool.map(image_io.inspect_image, changed)
        progress = progress_bar(title, total=len(changed), unit="image", over=inspected, delay=1)
        for path, (size, fault, remark) in zip(changed, progress, strict=True):
            facts[path] = ImageFacts(stamps[path], size, fault or "", remark)
    if cache and changed:
        _save(cache, name, key, facts)
    return facts


def stamp_file(path: str) -> Stamp:
    """Return size in bytes and time of change of a file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return Stamp(-1, -1)
    return Stamp(status.st_size, status.st_mtime_ns)


def _load(cache: IndexCache, name: str, key: str) -> dict[str, ImageFacts]:
    entry = cache.load(name, key)
    if entry is None:
        return {}
    paths: Sequence[str] = entry.facts["paths"]
    columns = (entry.arrays[column].tolist() for column in ("stamps", "sizes"))
    remarks: Mapping[str, str] = entry.facts["remarks"]
    return {
        path: ImageFacts(Stamp(*stamp), (size[0], size[1]), fault, remarks.get(path, ""))
        for path, stamp, size, fault in zip(paths, *columns, entry.facts["faults"], strict=True)
    }


def _save(cache: IndexCache, name: str, key: str, facts: Mapping[str, ImageFacts]) -> None:
    arrays = {
        "stamps": np.array([fact.stamp for fact in facts.values()], np.int64).reshape(-1, 2),
        "sizes": np.array([fact.size for fact in facts.values()], np.int64).reshape(-1, 2),
    }
    texts = {
        "paths": list(facts),
        "faults": [fact.fault for fact in facts.values()],
        "remarks": {path: fact.remark for path, fact in facts.items() if fact.remark},
    }
    cache.save(name, key, CacheEntry(arrays=arrays, facts=texts))
