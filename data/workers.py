"""Worker processes that load batches: started once, quiet at the end, mistakes in one line.

Workers receive keys and return what `collate` makes of their samples.
"""

import gc
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from utils.runtime.errors import UserError
from utils.runtime.memory import reuse_freed_memory

SampleT = TypeVar("SampleT")
BatchT = TypeVar("BatchT")


class WorkerLoader(Generic[BatchT]):
    """torch's DataLoader with workers that live across epochs, end quietly, report in one line."""

    def __init__(
        self,
        dataset: Dataset[SampleT],
        batch_sampler: Any,
        collate: Callable[[Sequence[SampleT]], BatchT],
        *,
        workers: int,
        pin_memory: bool,
    ) -> None:
        workers = min(workers, len(batch_sampler))
        reuse_freed_memory()  # this process computes on a CPU with maps as large as images
        if workers == 0:
            # OpenCV's own threads compete with torch's in this process and slow both down.
            cv2.setNumThreads(0)
        self._plan = _Plan(batch_sampler)
        with _trusting_the_number():
            self._loader: DataLoader[Any] = DataLoader(
                _BatchLoader(dataset, collate),
                batch_sampler=self._plan,
                num_workers=workers,
                collate_fn=_as_it_is,
                worker_init_fn=_start_worker,
                persistent_workers=workers > 0,
                pin_memory=pin_memory,
                # Otherwise the loader takes its seed from torch's global generator, and every later
                # draw in the process depends on how often a loader was started.
                generator=torch.Generator(),
            )

    def __iter__(self) -> Iterator[BatchT]:
        """Yield every batch once.

        Raises:
            UserError: a sample cannot be loaded.
        """
        self.start()
        with _signals_held():
            batches = iter(self._loader)
        for batch in batches:
            if isinstance(batch, UserError):
                raise batch
            yield batch

    def start(self) -> None:
        """Start the workers without work, unless they run already.

        Each of them keeps what this process has in memory by then.
        """
        if self._loader.num_workers and self._loader._iterator is None:
            # A collection would write into every object of this process, and so copy the memory
            # that it shares with its workers: 85 MiB of a small training.
            gc.freeze()
            self._plan.is_empty = True
            with _signals_held(), _trusting_the_number():
                iter(self._loader)
            self._plan.is_empty = False

    def close(self) -> None:
        """End the workers. torch has no public way to do so while a traceback refers to them."""
        shutdown = getattr(self._loader._iterator, "_shutdown_workers", None)
        self._loader._iterator = None
        if shutdown is not None:
            shutdown()
            gc.unfreeze()


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
    """Loads whole batches for DataLoader; a user's mistake is returned instead of raised.

    DataLoader would wrap the text of an exception in the traceback of the worker.
    """

    def __init__(self, dataset: Dataset[Any], collate: Callable[[Sequence[Any]], Any]) -> None:
        self._dataset = dataset
        self._collate = collate

    def __getitems__(self, keys: Sequence[Any]) -> Any:
        """Return the batch of `keys`, or the first mistake; DataLoader calls this by its name."""
        try:
            return self._collate([self._dataset[key] for key in keys])
        except UserError as error:
            return error


def _as_it_is(batch: Any) -> Any:
    return batch


_HELD = {signal.SIGINT, signal.SIGTERM}
_CAN_HOLD = hasattr(signal, "pthread_sigmask")
"""Not on Windows."""


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep signals back while workers start: they inherit this until they ignore them."""
    if not _CAN_HOLD:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _trusting_the_number() -> Iterator[None]:
    """Keep torch from warning of more workers than cores: whoever set the number may judge it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This DataLoader will create")
        yield


def _start_worker(_worker: int) -> None:
    # Ctrl-C reaches every process of the terminal, and cluster managers signal all processes of a
    # job; the main process decides what happens. Workers end when it closes them or is gone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _CAN_HOLD:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    reuse_freed_memory()
