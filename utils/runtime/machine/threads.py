"""The number of available cores and of compute threads.

torch is imported inside, because `prepare_environment` has to run before it.
"""

import math
import os
from pathlib import Path
from typing import Literal

CGROUP_QUOTA = Path("/sys/fs/cgroup/cpu.max")


SPIN_ROUNDS = "10000"
"""Rounds, some tens of microseconds, that an idle OpenMP thread of libgomp spins for new work.

Operators of a small network follow each other faster than a sleeping thread wakes up: this short
spinning halves a step on two idle cores and costs nothing measurable beside a busy process, where
libgomp's own default is up to 32 times slower.
"""


def prepare_environment() -> None:
    """Set environment variables that libraries read at import; call before torch is imported.

    OpenMP threads that wait must soon sleep: endless spinning on a shared core has cost a factor of
    25 to 32. cuBLAS needs its workspace fixed to be deterministic. Values set by the user are kept.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN_ROUNDS)
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def available_cores() -> int:
    """Return the cores this process may use: affinity and container quota respected, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min(cores, _container_quota()))


def _container_quota() -> int:
    """Return the cores a container grants, rounded up; a large number where nothing limits."""
    try:
        quota, period = CGROUP_QUOTA.read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # no such file, or "max": no limit
        return 1 << 16


def set_threads(threads: int | Literal["auto", "adaptive"], *, processes: int = 1) -> int:
    """Set torch's compute threads and return their number.

    `threads` 0 takes all cores, or $OMP_NUM_THREADS of them; the words begin with these. Loader
    workers get no core of their own: from the cache of decoded images an image takes them a tenth
    of the time that the network takes on a CPU. Of several training `processes` on this machine
    each has its share of the cores.
    """
    import torch

    is_stated = isinstance(threads, int) and threads > 0
    chosen = int(threads) if is_stated else _fair_share(processes)
    torch.set_num_threads(chosen)
    return chosen


MOST_AUTO_WORKERS = 8


def loader_workers(stated: int | Literal["auto"], device: str, *, processes: int = 1) -> int:
    """Return how many processes load images.

    Args:
        stated: `train.workers`; auto takes one a core for a GPU, at most 8. A CPU that trains has
            its cores for the network, to which 2 of them keep up, and one more per 8 cores.
        device: type of the training's device, as in torch.device.
        processes: that train on this machine, who share its cores.
    """
    if stated != "auto":
        return stated
    cores = max(1, available_cores() // processes)
    wanted = 2 + cores // 8 if device == "cpu" else cores
    return min(cores, wanted, MOST_AUTO_WORKERS)


def compute_alone_after_fork() -> None:
    """Let every process forked from this one compute with one thread.

    The threads of OpenMP do not survive a fork: a child that uses them waits for ever.
    """
    if not _forks_watched and hasattr(os, "register_at_fork"):
        _forks_watched.append(True)
        os.register_at_fork(after_in_child=_one_thread)


_forks_watched: list[bool] = []


def _one_thread() -> None:
    import torch

    torch.set_num_threads(1)


def stated_threads() -> int | None:
    """Return the number of threads in $OMP_NUM_THREADS, None where the user states none."""
    stated = os.environ.get("OMP_NUM_THREADS", "")
    return int(stated) if stated.isdecimal() and int(stated) > 0 else None


def _fair_share(processes: int) -> int:
    if processes > 1:  # torchrun sets the variable to 1 by default, not the user
        return max(1, available_cores() // processes)
    return stated_threads() or available_cores()
