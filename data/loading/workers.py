"""Worker processes that load batches: started once, with one-line errors.

Workers receive keys and return what `collate` makes of their samples.
"""

import atexit
import gc
import logging
import multiprocessing
import signal
import sys
import threading
import traceback
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Generic, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from data.loading.worker_watch import (
    END_S,
    GRACE_S,
    WorkersLost,
    describe_loss,
    end_processes,
    end_soon,
    fail_when_unsent,
    fitting_workers,
    watch,
    within,
)
from utils.runtime.errors import UserError
from utils.runtime.interrupt import SIGNALS
from utils.runtime.machine.handles import raise_handle_limit
from utils.runtime.machine.memory import ALL_BYTES, reuse_freed_memory
from utils.runtime.printable import shortened

BatchT = TypeVar("BatchT")
_logger = logging.getLogger(__name__)


class WorkerLoader(Generic[BatchT]):
    """torch's DataLoader with persistent workers and one-line errors.

    If workers die, cannot start or hang, no batch is lost: this is logged, and the main process
    loads the rest of the epoch itself. Batches do not depend on the process that loads them.
    """

    def __init__(
        self,
        load: Callable[[Sequence[Any]], BatchT],
        batch_sampler: Any,
        *,
        workers: int,
        pin_memory: bool,
        batch_bytes: int = 0,
        processes: int = 1,
    ) -> None:
        """Initialise; no worker is started.

        Args:
            load: gives the batch of some keys; its UserError is raised here.
            batch_sampler: gives the keys of each batch.
            workers: processes that load.
            pin_memory: hand out page-locked batches.
            batch_bytes: approximate memory of a batch passed by a worker, 0 if unknown.
            processes: that train on this machine, each with such a loader.
        """
        reuse_freed_memory(ALL_BYTES)  # this process computes on a CPU with maps as large as images
        raise_handle_limit()  # workers inherit it
        self._batch_loader = _BatchLoader(load)
        self._plan = _Plan(batch_sampler)
        self._pin_memory = pin_memory
        plan = fitting_workers(min(workers, len(batch_sampler)), batch_bytes, processes=processes)
        if plan.note:
            _logger.warning("%s", plan.note)
        self._failures = 0
        self._use(plan.workers, plan.prefetch)
        _open_loaders.add(self)

    def _use(self, workers: int, prefetch: int) -> None:
        """Create the loader with so many workers."""
        self._prefetch = prefetch
        if workers == 0:
            # OpenCV's own threads compete with torch's in this process and slow both down.
            cv2.setNumThreads(0)
        with _trusting_the_number():
            self._loader: DataLoader[Any] = DataLoader(
                self._batch_loader,
                batch_sampler=self._plan,
                num_workers=workers,
                collate_fn=_as_it_is,
                worker_init_fn=_start_worker,
                persistent_workers=workers > 0,
                prefetch_factor=prefetch if workers else None,
                pin_memory=self._pin_memory,
                # Otherwise the loader takes its seed from torch's global generator, and every later
                # draw in the process depends on how often a loader was started.
                generator=torch.Generator(),
            )

    def __iter__(self) -> Iterator[BatchT]:
        """Yield every batch once.

        Raises:
            UserError: a sample cannot be loaded.
            StopWaiting: the training was asked to stop while waiting for a batch.
        """
        self.start()
        number = 0
        try:
            for batch in self._delivered():
                if isinstance(batch, UserError):
                    raise batch
                number += 1
                yield batch
            return
        except WorkersLost as fault:
            _logger.warning("%s; this process loads the rest of the epoch itself", fault)
            self._retreat()
        for keys in islice(iter(self._plan), number, None):
            batch = self._batch_loader.__getitems__(keys)
            if isinstance(batch, UserError):
                raise batch
            yield batch

    def _delivered(self) -> Iterator[Any]:
        """Yield the batches of the workers, or of this process without them."""
        with _signals_held(), _own_child_signals():
            batches = iter(self._loader)
        if self._loader.num_workers:
            watch(batches)
        while True:
            try:
                batch = next(batches)
            except StopIteration:
                return
            except RuntimeError as error:  # torch's word for a worker that is gone
                fault = describe_loss(batches)
                if fault is None:
                    raise
                raise WorkersLost(fault) from error
            yield batch

    def _retreat(self) -> None:
        """End the workers; the next epoch starts half as many, and none after a third failure."""
        workers = self._loader.num_workers
        self._failures += 1
        self.close(at_once=True)
        self._use(0 if self._failures > MOST_FAILURES else workers // 2, 1)

    def start(self) -> None:
        """Start idle workers, unless they run already.

        Each of them shares the memory of this process at that time. If the machine does not allow
        so many, this process loads alone, which is logged.
        """
        if not self._loader.num_workers or self._loader._iterator is not None:
            return
        # Garbage collection would write to every object of this process, and so copy the memory
        # that it shares with its workers: 85 MiB of a small training.
        gc.freeze()
        self._plan.is_empty = True
        before = set(multiprocessing.active_children())
        try:
            with _signals_held(), _own_child_signals(), _trusting_the_number():
                iter(self._loader)
        except (OSError, RuntimeError) as error:
            end_processes(set(multiprocessing.active_children()) - before)
            _logger.warning(
                "cannot start %d loader workers (%s); images are loaded without them: lower "
                "train.workers or raise the limit (ulimit -u, ulimit -n, pids.max)",
                self._loader.num_workers,
                shortened(error),
            )
            with _half_made_iterators_unmentioned():
                # Python 3.10 has the traceback in two places until this block ends.
                traceback.clear_frames(error.__traceback__)
                error.__traceback__ = None
            self._loader._iterator = None
            gc.unfreeze()
            self._use(0, 1)
        finally:
            self._plan.is_empty = False

    def close(self, *, at_once: bool = False) -> None:
        """End the workers, `at_once` without a timeout, as during an exception.

        torch has no public way to do so while a traceback refers to them.
        """
        iterator = self._loader._iterator
        self._loader._iterator = None
        if iterator is None:
            return
        workers = list(getattr(iterator, "_workers", ()))
        is_urgent = at_once or sys.exc_info()[0] is not None
        if is_urgent:
            end_processes(workers)
        timer = end_soon(workers)
        shutdown = getattr(iterator, "_shutdown_workers", None)
        if shutdown is not None:
            # torch waits 5 s for each worker that is in the middle of an image, or of nothing.
            within(END_S if is_urgent else GRACE_S + END_S, shutdown)
            gc.unfreeze()
        timer.cancel()
        if not is_urgent:
            end_processes(workers)


_open_loaders: "weakref.WeakSet[WorkerLoader[Any]]" = weakref.WeakSet()
MOST_FAILURES = 2


@atexit.register
def _close_all() -> None:
    """Leave no worker for which the interpreter would wait at exit: they ignore signals."""
    for loader in list(_open_loaders):
        iterator = loader._loader._iterator
        end_processes(getattr(iterator, "_workers", ()))


class _Plan:
    """The batches of a sampler, or none."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches
        self.is_empty = False

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(() if self.is_empty else self._batches)


class _BatchLoader(Dataset[Any]):
    """Loads whole batches for DataLoader; a user error is returned instead of raised.

    DataLoader would wrap the text of an exception in the traceback of the worker.
    """

    def __init__(self, load: Callable[[Sequence[Any]], Any]) -> None:
        self._load = load

    def __getitems__(self, keys: Sequence[Any]) -> Any:
        """Return the batch of `keys`, or the first user error; DataLoader calls this method."""
        try:
            return self._load(keys)
        except UserError as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch


_HELD = set(SIGNALS)
_CAN_HOLD = hasattr(signal, "pthread_sigmask")
"""Not on Windows."""


@contextmanager
def _signals_held() -> Iterator[None]:
    """Block signals while workers start: they inherit this until they ignore them."""
    if not _CAN_HOLD:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _own_child_signals() -> Iterator[None]:
    """Disable torch's signal handler for dead workers.

    It raises at any point, even in the middle of an optimizer step; `watch` checks the workers
    instead.
    """
    number = getattr(signal, "SIGCHLD", None)
    if number is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(number)
    try:
        yield
    finally:
        signal.signal(number, before if before is not None else signal.SIG_DFL)


@contextmanager
def _half_made_iterators_unmentioned() -> Iterator[None]:
    """Let torch's iterator vanish whose workers could not start: it fails at that, aloud."""
    before, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        yield
    finally:
        sys.unraisablehook = before


@contextmanager
def _trusting_the_number() -> Iterator[None]:
    """Silence torch's warning of more workers than cores: the user set the number."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


def _start_worker(_worker: int) -> None:
    # Ctrl-C reaches every process of the terminal, and cluster managers signal all processes of a
    # job; the main process decides what happens. Workers end when it closes them or is gone.
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    if _CAN_HOLD:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
    fail_when_unsent()
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    reuse_freed_memory()
