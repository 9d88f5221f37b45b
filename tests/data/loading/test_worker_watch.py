"""Workers that die, stop or find no memory: every batch comes all the same."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Sequence

import psutil
import pytest

import data.loading.worker_watch
from data.loading.worker_watch import (
    END_S,
    MIB,
    POLL_S,
    WorkerPlan,
    describe_loss,
    end_processes,
    fitting_workers,
    within,
)
from data.loading.workers import WorkerLoader
from utils.runtime.distributed.stopped_peers import LOOK_S, PAUSE_S
from utils.runtime.interrupt import StopRequest, StopWaiting
from utils.runtime.screen import LAST_WAIT_S, WAIT_S


class Numbers:
    """Gives its keys; one of them may end or stop the worker that loads it."""

    def __init__(self, ends: int = -1, number: int = signal.SIGKILL) -> None:
        self.home, self.ends, self.number = os.getpid(), ends, number

    def __call__(self, keys: Sequence[int]) -> list[int]:
        if self.ends in keys and os.getpid() != self.home:
            os.kill(os.getpid(), self.number)
        return list(keys)


BATCHES = [[2 * n, 2 * n + 1] for n in range(8)]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV])
def test_every_batch_comes_in_order(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(data.loading.worker_watch, "STOPPED_AFTER_S", 1.0)
    loader = WorkerLoader(Numbers(7, number), BATCHES, workers=2, pin_memory=False)
    assert list(loader) == BATCHES
    words = "stopped" if number == signal.SIGSTOP else signal.Signals(number).name
    assert [record for record in caplog.records if words in record.message]
    assert list(loader) == BATCHES  # the next epoch starts fewer
    loader.close()


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
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
    loader = WorkerLoader(Numbers(), BATCHES, workers=3, pin_memory=False)
    assert list(loader) == BATCHES
    assert "cannot start 3 loader workers" in caplog.text
    deadline = time.monotonic() + 60
    while psutil.pid_exists(begun[0]) and time.monotonic() < deadline:
        time.sleep(0.02)
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


def test_processes_of_a_machine_share_its_memory() -> None:
    batch = 10 * MIB  # 2 workers with 2 batches each and 2 spare ones: 63 MiB
    assert fitting_workers(2, batch, free=252 * MIB, processes=4) == WorkerPlan(workers=2)
    few = fitting_workers(2, batch, free=251 * MIB, processes=4)
    assert (few.workers, few.prefetch) == (2, 1)
    assert "for each of 4 processes" in few.note


def test_nobody_is_lost_where_nobody_works() -> None:
    assert describe_loss(object()) is None


class Undying:
    """A process that waits for a dead disk: no signal reaches it."""

    exitcode = None

    def __init__(self, waited: list[float]) -> None:
        self.waited, self.killed = waited, 0

    def kill(self) -> None:
        self.killed += 1

    def join(self, timeout: float) -> None:
        self.waited.append(timeout)
        time.sleep(timeout)


def test_workers_that_nothing_ends_are_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    children: set[object] = set()
    monkeypatch.setattr("multiprocessing.process._children", children)
    waited: list[float] = []
    workers = [Undying(waited) for _ in range(5)]
    children.update(workers)
    end_processes(workers)
    assert [worker.killed for worker in workers] == [1] * 5
    assert sum(waited) <= END_S + 0.01  # together, not each
    assert not children  # else the interpreter waits for them at its end


def test_work_that_takes_too_long_is_left_behind() -> None:
    blocked = threading.Event()
    within(0.01, blocked.wait)  # type: ignore[arg-type]
    done: list[int] = []
    within(30.0, lambda: done.append(1))
    assert done == [1]
    blocked.set()


def test_an_interrupt_is_answered_within_two_seconds_by_construction() -> None:
    """A signal that reaches another thread is seen at the next look; then two loaders end."""
    closing_s = END_S + END_S  # of killed workers, and of what torch has beside them
    assert POLL_S + 2 * closing_s + 2 * LAST_WAIT_S < 2.0
    assert POLL_S + WAIT_S + 2 * LAST_WAIT_S < 2.0  # nobody reads what is said of it
    assert LOOK_S + PAUSE_S + LOOK_S < 2.0  # processes that train together


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_request_ends_waiting_for_a_stopped_worker(number: int) -> None:
    loader = WorkerLoader(Numbers(1, signal.SIGSTOP), BATCHES, workers=2, pin_memory=False)
    came = []
    with StopRequest(while_waiting=True) as request:
        timer = threading.Timer(0.5, os.kill, (os.getpid(), number))
        timer.start()
        try:
            with pytest.raises(StopWaiting):
                came.extend(loader)
        finally:
            timer.cancel()
            loader.close()
    assert request.requested
    assert len(came) < len(BATCHES)
    assert not multiprocessing.active_children()
