"""Memory allocation of this process."""

import ctypes
import sys

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's parameters, malloc.h
MIB = 1 << 20
KEPT_BYTES = 64 * MIB
"""Freed memory kept by the process, in bytes."""
LARGEST_REUSED_BYTES = 32 * MIB
"""Larger blocks always come from the system; the maximum of glibc."""


def reuse_freed_memory() -> bool:
    """Let this process reuse the memory of images instead of returning it to the system.

    By default glibc returns blocks of an image's size at once, and the system clears and maps every
    page of the next one: half of the time of an augmented 640 px sample.

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
