"""How this process gets memory from the system."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's parameters, malloc.h
MIB = 1 << 20
KEPT_BYTES = 64 * MIB
"""Freed memory that stays with the process."""
LARGEST_REUSED_BYTES = 32 * MIB
"""Blocks above it always come from the system; glibc allows no more."""


def reuse_freed_memory() -> bool:
    """Let this process reuse the memory of images instead of returning and fetching it.

    By default glibc gives blocks of an image's size back at once, and the system clears and maps
    every page of the next one anew: half of the time of an augmented 640 px sample.

    Returns:
        False where the C library is not glibc; nothing is changed then.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_TRIM_THRESHOLD, KEPT_BYTES), (_MMAP_THRESHOLD, LARGEST_REUSED_BYTES))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


@contextmanager
def collections_paused() -> Iterator[None]:
    """Make many objects that stay without looking for garbage among them again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
