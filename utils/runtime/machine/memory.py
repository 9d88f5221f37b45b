"""The memory of the machine, and how this process allocates it."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # names of glibc's parameters, malloc.h
MIB = 1 << 20
GIB = 1 << 30
KEPT_BYTES = 64 * MIB
"""Freed memory kept by a process that handles images, in bytes."""
ALL_BYTES = 2**31 - 1
"""Freed memory kept by a process that trains: all of it, the maximum of glibc."""
LARGEST_REUSED_BYTES = 32 * MIB
"""Larger blocks always come from the system; the maximum of glibc."""


def reuse_freed_memory(kept_bytes: int = KEPT_BYTES) -> bool:
    """Let this process reuse the memory of images instead of returning it to the system.

    By default glibc returns blocks of an image's size at once, and the system clears and maps every
    page of the next one: half of the time of an augmented 640 px sample, and an eighth of that of a
    training step of yolov5n at 320 px, which takes again what its backward pass has freed.

    Args:
        kept_bytes: of freed memory are kept; the process's peak stays the same.

    Returns:
        False where the C library is not glibc; nothing is changed then.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    settings = ((_TRIM_THRESHOLD, kept_bytes), (_MMAP_THRESHOLD, LARGEST_REUSED_BYTES))
    return all(mallopt(parameter, value) == 1 for parameter, value in settings)


def free_memory(device: "torch.device") -> int:
    """Return the bytes that a training on `device` can have; on Apple GPUs, what the system names
    as healthy.
    """
    import torch

    if device.type == "cuda":
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + reusable
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return int(psutil.virtual_memory().available)


def total_memory(device: "torch.device") -> int:
    """Return the bytes of memory that `device` has; an Apple GPU shares that of the machine."""
    import torch

    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return int(psutil.virtual_memory().total)


def used_memory(device: "torch.device") -> int:
    """Return the bytes that this process holds on `device`, what its allocator keeps included; of
    the machine's memory on a CPU, without that of loader workers.
    """
    import torch

    if device.type == "cuda":
        return torch.cuda.memory_reserved(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    return int(psutil.Process().memory_info().rss)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether torch or Python says that memory is used up: CUDA with an error of its own,
    Apple GPUs and CPUs in the words of a RuntimeError.
    """
    text = str(error).lower()
    said = "out of memory" in text or "can't allocate memory" in text
    is_torchs = type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and (is_torchs or said)
    )


@contextmanager
def collections_paused() -> Iterator[None]:
    """Pause garbage collection while many long-lived objects are created."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
