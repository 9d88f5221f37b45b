"""A run beside programs that come and go: when something is said, once, and of whom."""

import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from utils.engine.hooks import thread_watch
from utils.engine.hooks.thread_watch import LOOK_EVERY_S, LOOKS, ThreadWatch

RUN = SimpleNamespace(folder=SimpleNamespace(path=Path("runs/x")))


class Watched:
    """A watch on four cores whose load is told for each look; a batch takes ten seconds."""

    def __init__(self, patch: pytest.MonkeyPatch, *, threads: int, is_chosen: bool = True) -> None:
        patch.setattr(thread_watch, "threads_beside", lambda taken: round(4 - taken))
        self.now, self.loads, self.looked_at = 0.0, [0.0], list[float]()
        self.watch = ThreadWatch(
            threads,
            is_chosen=is_chosen,
            open_meter=lambda: SimpleNamespace(cores_taken=self.taken),  # type: ignore[arg-type,return-value]
            clock=lambda: self.now,
        )

    def taken(self) -> float:
        self.looked_at.append(self.now)
        return self.loads[min(len(self.looked_at), len(self.loads)) - 1]

    def train(self, loads: list[float], batches: int = 60) -> None:
        self.loads = loads
        self.watch.before_training(RUN)  # type: ignore[arg-type]
        for _ in range(batches):
            self.now += 10.0
            self.watch.after_step(RUN, None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("threads", "loads", "said"),
    [
        (4, [2.0], "2.0 cores busy by now: 2 compute threads would"),
        (4, [0.0, 3.0], "3.0 cores busy by now: 1 compute thread would"),
        (1, [0.0], "4 compute threads would suit that better than the 1 of this run"),
        (4, [3.0, 0.0, 3.0, 3.0, 1.0, 1.0], "train.threads=2"),
    ],
)
def test_a_load_that_lasts_is_said_once(
    threads: int,
    loads: list[float],
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    watched = Watched(monkeypatch, threads=threads)
    with caplog.at_level(logging.WARNING):
        watched.train(loads)
    (message,) = caplog.messages
    assert said in message
    assert "--resume runs/x train.threads=" in message
    assert watched.looked_at[:2] == [LOOK_EVERY_S, 2 * LOOK_EVERY_S]


@pytest.mark.parametrize(
    ("threads", "loads"),
    [(4, [0.0]), (2, [2.0]), (4, [2.0] * (LOOKS - 1) + [0.0]), (2, [0.0, 4.0] * 30)],
)
def test_what_suits_or_passes_is_not_said(
    threads: int,
    loads: list[float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    Watched(monkeypatch, threads=threads).train(loads, batches=3 * len(loads))
    assert not caplog.messages


def test_of_a_stated_number_nothing_is_said_or_measured(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watched = Watched(monkeypatch, threads=4, is_chosen=False)
    watched.train([3.0])
    assert not watched.looked_at
    assert not caplog.messages


@pytest.mark.parametrize("was_chosen", [True, False])
def test_a_resumed_run_knows_that_its_number_was_chosen(
    was_chosen: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    before = Watched(monkeypatch, threads=4, is_chosen=was_chosen).watch
    resumed = Watched(monkeypatch, threads=4, is_chosen=False)
    resumed.watch.load_state(before.state())
    resumed.train([3.0])
    assert bool(caplog.messages) == was_chosen
