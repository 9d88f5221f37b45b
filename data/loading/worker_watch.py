"""Watches loader workers: those that hang or died are logged, and never waited for without end.

torch waits for a batch without a timeout. A worker may be stopped, hang on a dead network disk,
have been killed by the kernel for memory, or lack shared memory for its batch, as in a container
with 64 MB of it.
"""

import logging
import multiprocessing.process
import multiprocessing.queues
import os
import signal
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from utils.runtime.interrupt import stopping_at_once
from utils.runtime.machine.process_state import is_stopped, process_state
from utils.runtime.printable import shortened

_logger = logging.getLogger(__name__)

POLL_S = 0.25
"""Seconds between two checks of signals and workers while no batch comes."""
SAY_AFTER_S = 20.0
"""Seconds without a batch after which it is logged."""
STOPPED_AFTER_S = 10.0
"""Seconds without a batch after which a worker that was stopped is ended."""
GIVE_UP_AFTER_S = 120.0
"""Seconds without a batch after which all workers are ended."""
GRACE_S = 0.5
"""Seconds that workers get to end by themselves."""
END_S = 0.25
"""Seconds in which killed workers are gone; those that wait for a dead disk are left behind."""
UNSENT_CODE = 77
"""Exit code of a worker that cannot hand over what it has loaded."""
SHARED_MEMORY = Path("/dev/shm")
USUAL_PREFETCH = 2
_SPARE_BATCHES = 2
"""Batches in memory besides those that are prefetched: the one in use, and the next one."""
_MARGIN = 1.05
MIB = 1 << 20


class WorkersLost(Exception):  # noqa: N818
    """Workers failed; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """Number of workers that fit into shared memory, and a warning."""

    workers: int
    prefetch: int = USUAL_PREFETCH
    note: str = ""


def fitting_workers(
    workers: int, batch_bytes: int, *, free: int | None = None, processes: int = 1
) -> WorkerPlan:
    """Return how many workers, with how many batches each, fit into shared memory.

    Args:
        workers: requested.
        batch_bytes: of one batch on its way; 0 where that is not known.
        free: bytes of free shared memory; looked up where None.
        processes: that train on this machine, each with workers of its own, and share it equally.
    """
    free = free_shared_memory() if free is None else free
    if not workers or not batch_bytes or free is None:
        return WorkerPlan(workers=workers)
    free //= processes

    def need(number: int, prefetch: int) -> float:
        return (number * prefetch + _SPARE_BATCHES) * batch_bytes * _MARGIN

    if need(workers, USUAL_PREFETCH) <= free:
        return WorkerPlan(workers=workers)
    choices = [(number, 1) for number in range(workers, 0, -1)]
    fitting = next((choice for choice in choices if need(*choice) <= free), (0, 1))
    each = "" if processes == 1 else f" for each of {processes} processes"
    says = f"{fitting[0]} workers with one batch each" if fitting[0] else "this process alone"
    return WorkerPlan(
        workers=fitting[0],
        prefetch=1,
        note=(
            f"{SHARED_MEMORY} has {free / MIB:.0f} MiB free{each}, {workers} workers need "
            f"{need(workers, USUAL_PREFETCH) / MIB:.0f}: images are loaded by {says}; "
            "in a container raise it with --shm-size=1g or --ipc=host"
        ),
    )


def free_shared_memory() -> int | None:
    """Return the free bytes of shared memory, None if unknown."""
    try:
        status = os.statvfs(SHARED_MEMORY)
    except (OSError, AttributeError):
        return None
    return status.f_bavail * status.f_frsize


def watch(iterator: Any) -> None:
    """Let an iterator of torch's DataLoader check signals and workers while it waits.

    Waiting then ends with StopWaiting if the program is asked to stop, and with WorkersLost if no
    batch can come.
    """
    kind = type(iterator)
    if not hasattr(kind, "_try_get_data") or getattr(iterator, "guard", None) is not None:
        return
    # The iterator ends its workers when it is garbage collected: no reference cycle through it.
    own = weakref.ref(iterator)
    guard = iterator.guard = _Guard(iterator)
    guard.start()

    def fetch_or_stop(timeout: float = POLL_S) -> tuple[bool, Any]:
        try:
            with stopping_at_once():
                answer: tuple[bool, Any] = kind._try_get_data(own(), timeout=POLL_S)
                return answer
        except (EOFError, OSError) as error:  # a worker that was to hand over memory is gone
            reason = guard.reason or describe_loss(own()) or shortened(error)
            raise WorkersLost(reason) from error

    def guarded_next() -> Any:
        guard.waiting_since = time.monotonic()
        try:
            return kind._next_data(own())
        finally:
            guard.waiting_since = None

    iterator._try_get_data = fetch_or_stop
    iterator._next_data = guarded_next


class _Guard(threading.Thread):
    """Ends workers that are silent for too long, as the main process may be stuck on them.

    A worker passes memory through a socket: one that stops in between leaves the reader in the
    middle of a message.
    """

    def __init__(self, iterator: Any) -> None:
        super().__init__(name="loader guard", daemon=True)
        self._iterator = weakref.ref(iterator)
        self.waiting_since: float | None = None
        self.reason = ""
        self._said_at: float | None = None

    def run(self) -> None:
        """Check every quarter second until the iterator or its workers are gone."""
        while True:
            time.sleep(POLL_S)
            iterator = self._iterator()
            if iterator is None or getattr(iterator, "_shutdown", False):
                return
            since = self.waiting_since
            if since is not None and time.monotonic() - since >= min(STOPPED_AFTER_S, SAY_AFTER_S):
                self._judge(iterator, since)
            del iterator

    def _judge(self, iterator: Any, since: float) -> None:
        seconds, workers = time.monotonic() - since, iterator._workers
        stopped = [number for number, worker in enumerate(workers) if is_stopped(worker.pid)]
        if stopped:
            names = ", ".join(map(str, stopped))
            self.reason = (
                f"loader worker {names} was stopped from outside, no batch for {seconds:.0f} s"
            )
        elif seconds >= GIVE_UP_AFTER_S:
            self.reason = f"{_silence(iterator, seconds)}; they are ended"
        elif seconds >= SAY_AFTER_S and self._said_at != since:
            self._said_at = since
            _logger.warning(
                "%s; is the disk or network slow? waiting %.0f s more, Ctrl-C stops and saves",
                _silence(iterator, seconds),
                GIVE_UP_AFTER_S - seconds,
            )
        if self.reason:
            for number in stopped or range(len(workers)):
                workers[number].kill()


def _silence(iterator: Any, seconds: float) -> str:
    states = " ".join(f"{n}:{process_state(w.pid)}" for n, w in enumerate(iterator._workers))
    return f"no batch from the loader workers for {seconds:.0f} s (states {states})"


def describe_loss(iterator: Any) -> str | None:
    """Return which workers died and why, None if all are alive."""
    guard = getattr(iterator, "guard", None)
    if guard is not None and guard.reason:
        return str(guard.reason)
    for number, worker in enumerate(getattr(iterator, "_workers", ())):
        worker.join(timeout=0)
        code = worker.exitcode
        if code is None:
            continue
        if code == UNSENT_CODE:
            free = free_shared_memory()
            room = "" if free is None else f", {SHARED_MEMORY} has {free / MIB:.0f} MiB free"
            return (
                f"loader worker {number} found no shared memory for a batch{room}; in a container "
                "raise it with --shm-size=1g or --ipc=host, or set train.workers=0"
            )
        if code < 0:
            name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
            cause = " (out of memory?)" if name == "SIGKILL" else ""
            return (
                f"loader worker {number} was killed by {name}{cause}; lower train.workers or "
                "train.batch_size if it comes again"
            )
        return f"loader worker {number} ended with code {code}"
    return None


def fail_when_unsent() -> None:
    """Let this worker exit, without a traceback, if a batch cannot be passed on.

    By default the queue prints the error and continues: the batch never comes.
    """

    def end(error: BaseException, batch: object) -> None:
        os._exit(UNSENT_CODE)

    multiprocessing.queues.Queue._on_queue_feeder_error = staticmethod(end)  # type: ignore[attr-defined]


def end_soon(processes: Sequence[Any]) -> threading.Timer:
    """Return a running timer that kills processes which have not exited in time.

    Stopped ones are killed now.
    """
    for process in processes:
        if is_stopped(process.pid):
            process.kill()
    timer = threading.Timer(GRACE_S, _kill_all, (processes,))
    timer.daemon = True
    timer.start()
    return timer


def _kill_all(processes: Iterable[Any]) -> None:
    for process in processes:
        with suppress(OSError, ValueError, AttributeError):
            process.kill()


def end_processes(processes: Iterable[Any]) -> None:
    """Kill processes that may ignore other signals, or be stopped, within `END_S`.

    A process that waits for a dead disk cannot be ended before the disk answers: neither this
    function nor the interpreter at exit waits for it.
    """
    ended = list(processes)
    _kill_all(ended)
    deadline = time.monotonic() + END_S
    for process in ended:
        with suppress(OSError, ValueError, AssertionError):
            process.join(timeout=max(0.0, deadline - time.monotonic()))
            if process.exitcode is None:
                multiprocessing.process._children.discard(process)  # type: ignore[attr-defined]


def within(seconds: float, work: Callable[[], None]) -> None:
    """Do some work; go on without it where it takes longer."""
    thread = threading.Thread(target=work, name="end of the loader", daemon=True)
    thread.start()
    thread.join(seconds)
