"""Cores that other programs keep busy, and the number of compute threads that suits the rest.

Threads of one training synchronise at every operator, so a thread that shares its core with another
program delays all of them: on two cores, one of them busy, one thread is as fast as two, and does
not slow the other program down.
"""

import math
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from utils.runtime.machine.threads import available_cores, stated_threads

SHORTEST_S = 0.5
"""Seconds that a load is measured over at least: kernels count in hundredths."""
LONGEST_S = 120.0
"""Seconds after which a measurement that nobody asked for begins anew."""


@dataclass(frozen=True, slots=True)
class CoreUse:
    """CPU seconds since some moment: of all programs on our cores, and of our own."""

    at: float
    """Clock time of the reading."""
    total: float
    own: float
    """Of this process and all below it, ended ones included."""


def read_core_use() -> CoreUse:
    """Return the CPU seconds so far on the cores that this process may use."""
    times = psutil.cpu_times(percpu=True)
    return CoreUse(
        at=time.monotonic(),
        total=sum(_busy_seconds(times[core]) for core in _own_cores(len(times))),
        own=_own_seconds(),
    )


class LoadMeter:
    """Measures how many of our cores other programs keep busy.

    Args:
        read: gives the use of cores so far.
    """

    def __init__(self, read: Callable[[], CoreUse] = read_core_use) -> None:
        self._read = read
        self._last = read()

    @property
    def age_s(self) -> float:
        """Seconds since the last reading."""
        return time.monotonic() - self._last.at

    def cores_taken(self) -> float:
        """Return how many cores other programs kept busy since the last reading, 0 or more."""
        last, self._last = self._last, self._read()
        seconds = self._last.at - last.at
        others = (self._last.total - last.total) - (self._last.own - last.own)
        return max(0.0, others / seconds) if seconds > 0 else 0.0


_from_start: list[LoadMeter] = []


def begin_measuring_load() -> None:
    """Start a measurement that ends at the next `cores_taken`, which then need not wait."""
    _from_start[:] = [LoadMeter()]


def cores_taken() -> float:
    """Return how many of our cores other programs keep busy, over half a second or more."""
    meter = _from_start.pop() if _from_start else LoadMeter()
    if meter.age_s > LONGEST_S:
        meter = LoadMeter()
    time.sleep(max(0.0, SHORTEST_S - meter.age_s))
    return meter.cores_taken()


def threads_beside(taken: float) -> int:
    """Return how many threads compute fastest where other programs keep `taken` cores busy.

    A core that is busy for half of the time or more is not counted: a thread on it would delay the
    others by more than it adds.
    """
    free = len(_own_cores(psutil.cpu_count() or 1)) - taken
    return max(1, min(available_cores(), math.ceil(free - 0.5)))


@dataclass(frozen=True, slots=True)
class ThreadChoice:
    """A number of compute threads and the reason for it."""

    threads: int
    reason: str


def choose_threads() -> ThreadChoice:
    """Return $OMP_NUM_THREADS if the user sets it, else the number that suits the load."""
    stated, cores = stated_threads(), available_cores()
    if stated is not None:
        return ThreadChoice(stated, "$OMP_NUM_THREADS")
    if cores == 1:
        return ThreadChoice(1, "one core")
    taken = cores_taken()
    return ThreadChoice(
        threads_beside(taken), f"other programs keep {taken:.1f} of {cores} cores busy"
    )


def _own_cores(number: int) -> list[int]:
    """Return which of `number` cores this process may run on."""
    every = list(range(number))
    if not hasattr(os, "sched_getaffinity"):
        return every
    own = sorted(os.sched_getaffinity(0))
    return own if own[-1] < number else every  # numbers with gaps: some cores are switched off


def _busy_seconds(core: object) -> float:
    """Return the seconds that a core computed; guests are part of user and nice."""
    fields = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")
    return float(sum(getattr(core, name, 0.0) for name in fields))


def _own_seconds() -> float:
    seconds, own = 0.0, psutil.Process()
    for process in (own, *own.children(recursive=True)):
        with suppress(psutil.Error):
            times = process.cpu_times()
            ended = times.children_user + times.children_system
            seconds += times.user + times.system + ended
    return seconds
