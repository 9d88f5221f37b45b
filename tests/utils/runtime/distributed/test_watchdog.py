"""The watchdog speaks once, in one process, and names who is behind."""

import json

import pytest

from utils.runtime.distributed.watchdog import Watchdog, describe


class Words:
    """A store in this process."""

    def __init__(self) -> None:
        self.entries: dict[str, bytes] = {}

    def set(self, key: str, value: str) -> None:
        self.entries[key] = value.encode()

    def get(self, key: str) -> bytes:
        return self.entries[key]

    def check(self, keys: list[str]) -> bool:
        return all(key in self.entries for key in keys)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    clock = [1000.0]
    monkeypatch.setattr("utils.runtime.distributed.watchdog.time.time", lambda: clock[0])
    return clock


def pack(said: list[str], store: Words, size: int = 3) -> list[Watchdog]:
    return [
        Watchdog(store, rank=rank, size=size, patience_s=60, beat_s=5, say=said.append)
        for rank in range(size)
    ]


def test_who_waits_and_who_is_waited_for(now: list[float]) -> None:
    said: list[str] = []
    watchdogs = pack(said, Words())
    watchdogs[1].at("epoch 1/3, batch 6/9")
    now[0] += 1
    watchdogs[0].at("epoch 1/3, batch 7/9")
    watchdogs[2].at("epoch 1/3, batch 7/9")
    for _ in range(20):
        assert said == []
        now[0] += 3
        for watchdog in watchdogs:
            watchdog.beat()
        if now[0] >= 1061:
            break
    for watchdog in watchdogs:
        watchdog.beat()
    assert said == [
        "no progress for 60 s; process 1 is at epoch 1/3, batch 6/9 for 61 s; "
        "process 0 is at epoch 1/3, batch 7/9 for 60 s; "
        "process 2 is at epoch 1/3, batch 7/9 for 60 s"
    ]


def test_where_the_first_is_gone_the_next_one_speaks(now: list[float]) -> None:
    said: list[str] = []
    watchdogs = pack(said, Words(), size=2)
    for watchdog in watchdogs:
        watchdog.beat()
    now[0] += 70
    watchdogs[1].beat()
    assert len(said) == 1
    assert "process 0 is at start for 70 s, silent for 70 s" in said[0]


def test_it_speaks_again_when_it_stands_still_elsewhere(now: list[float]) -> None:
    said: list[str] = []
    (alone,) = pack(said, Words(), size=1)
    for place in ("a", "b"):
        alone.at(place)
        now[0] += 61
        alone.beat()
        alone.beat()
    assert len(said) == 2
    assert "at b" in said[1]


def test_without_a_store_nothing_happens() -> None:
    watchdog = Watchdog()
    watchdog.at("here")
    watchdog.beat()
    watchdog.stop()


def test_a_process_that_was_never_seen() -> None:
    signs = {0: {"place": "x", "since": 0.0, "seen": 9.0}}
    text = describe(signs, 2, 10.0, late_s=20)
    assert "process 1 never sent a heartbeat" in text
    assert json.dumps(text)
