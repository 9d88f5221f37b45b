"""Workers that die, stop or find no memory: every batch comes all the same."""

import os
import signal
import time
from collections.abc import Sequence

import pytest
from torch.utils.data import Dataset

import data.loading.worker_watch
from data.loading.worker_watch import MIB, describe_loss, fitting_workers
from data.loading.workers import WorkerLoader


class Numbers(Dataset[int]):
    """Gives its keys, slowly; a key may end or stop the worker that loads it."""

    def __init__(self, ends: int = -1, number: int = signal.SIGKILL) -> None:
        self.home, self.ends, self.number = os.getpid(), ends, number

    def __getitem__(self, key: int) -> int:
        if key == self.ends and os.getpid() != self.home:
            os.kill(os.getpid(), self.number)
        return key


def collate(samples: Sequence[int]) -> list[int]:
    return list(samples)


BATCHES = [[2 * n, 2 * n + 1] for n in range(8)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_every_batch_comes_in_order(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(data.loading.worker_watch, "STOPPED_AFTER_S", 1.0)
    loader = WorkerLoader(Numbers(7, number), BATCHES, collate, workers=2, pin_memory=False)
    assert list(loader) == BATCHES
    words = "stopped" if number == signal.SIGSTOP else signal.Signals(number).name
    assert [record for record in caplog.records if words in record.message]
    assert list(loader) == BATCHES  # the next epoch starts fewer
    loader.close()


def test_workers_that_cannot_start_cost_workers_only(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    begun: list[int] = []
    own = os.fork

    def fork() -> int:
        if len(begun) == 1:
            raise BlockingIOError(11, "Resource temporarily unavailable")
        begun.append(own())
        return begun[-1]

    monkeypatch.setattr(os, "fork", fork)
    loader = WorkerLoader(Numbers(), BATCHES, collate, workers=3, pin_memory=False)
    assert list(loader) == BATCHES
    assert "does not grant 3 loader workers" in caplog.text
    time.sleep(0.1)
    with pytest.raises(ProcessLookupError):
        os.kill(begun[0], 0)


def test_room_by_hand() -> None:
    assert fitting_workers(4, 10 * MIB, free=1000 * MIB).note == ""
    few = fitting_workers(4, 16 * 3 * 640 * 640, free=64 * MIB)
    assert (few.workers, few.prefetch) == (1, 1)
    assert "--shm-size" in few.note
    assert fitting_workers(4, 10 * MIB, free=MIB).workers == 0
    assert fitting_workers(4, 0, free=0).workers == 4
    assert fitting_workers(0, 10, free=0).note == ""


def test_nobody_is_lost_where_nobody_works() -> None:
    assert describe_loss(object()) is None
