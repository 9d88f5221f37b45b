"""Watchdog: logs which process waits where when a distributed run makes no progress."""

import json
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch.distributed as dist

from utils.runtime.machine.process_state import is_stopped

logger = logging.getLogger(__name__)

BEAT_S = 4.0
"""Seconds between two heartbeats; a process without one for four times as long is silent."""
PATIENCE_S = 120.0
"""Seconds without progress before it is logged."""


class Store(Protocol):
    """Protocol of the key-value store that processes share."""

    def set(self, key: str, value: str) -> None:
        """Write an entry."""
        ...

    def get(self, key: str) -> bytes:
        """Read an existing entry."""
        ...

    def check(self, keys: list[str]) -> bool:
        """Tell whether the entries exist."""
        ...


class Watchdog:
    """Records what this process does and, if nothing progresses for long, logs what all of them do.

    Without a store it does nothing. A thread does the writing: the process may hang in a collective
    operation while the thread continues.
    """

    def __init__(
        self,
        store: Store | None = None,
        *,
        rank: int = 0,
        size: int = 1,
        patience_s: float = PATIENCE_S,
        beat_s: float = BEAT_S,
        say: Callable[[str], None] = logger.warning,
    ) -> None:
        self._store = store
        self._rank, self._size = rank, size
        self._patience_s, self._beat_s = patience_s, beat_s
        self._say = say
        self._place, self._since = "start", time.time()
        self._told: str | None = None
        self._own = {"pid": os.getpid(), "host": socket.gethostname()}
        self._heard: dict[int, tuple[float, float]] = {}
        """By rank: when it was last seen, by its clock and by this one."""
        self.signs: dict[int, dict[str, Any]] = {}
        """The last heartbeat of every process, by rank."""
        self.beat_began: float | None = None
        """Since when this process waits for the store, None where it does not."""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def beside(cls, address: str, port: int) -> "Watchdog":
        """Return a running watchdog of this process of the default group."""
        store: Store = dist.TCPStore(  # type: ignore[attr-defined]
            address, port, is_master=False, wait_for_workers=False
        )
        watchdog = cls(store, rank=dist.get_rank(), size=dist.get_world_size())
        watchdog.start()
        return watchdog

    def start(self) -> None:
        """Start the thread."""
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def at(self, place: str) -> None:
        """Record that this process has reached `place`."""
        self._place, self._since = place, time.time()

    @property
    def since(self) -> float:
        """When this process reached its present place."""
        return self._since

    def local_peers(self) -> dict[int, int]:
        """Return the process ids of the other processes on this machine, by rank."""
        return {
            rank: int(sign["pid"])
            for rank, sign in self.signs.items()
            if rank != self._rank and sign.get("host") == self._own["host"]
        }

    @property
    def speaks(self) -> bool:
        """Tell whether this is the lowest rank alive, which does the logging."""
        stopped = {rank for rank, pid in self.local_peers().items() if is_stopped(pid)}
        return all(
            rank in stopped or not self._is_alive(self.signs[rank], time.time())
            for rank in self.signs
            if rank < self._rank
        )

    def stop(self) -> None:
        """Stop the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _watch(self) -> None:
        while True:
            try:
                self.beat_began = time.time()
                self.beat()
            except RuntimeError:  # the store is gone, and the training with it
                return
            finally:
                self.beat_began = None
            if self._ended.wait(self._beat_s):
                return

    def beat(self) -> None:
        """Write a heartbeat; log if this process has made no progress for too long."""
        if self._store is None:
            return
        now = time.time()
        sign = {"place": self._place, "since": self._since, "seen": now, **self._own}
        self._store.set(_key(self._rank), json.dumps(sign))
        signs = self.signs = self._signs(self._store)
        # Processes of this machine are checked by `stopped_peers`.
        others = [sign for sign in signs.values() if sign.get("host") != self._own["host"]]
        is_whole = all(self._is_alive(sign, now) for sign in others)
        patience_s = self._patience_s if is_whole else min(self._patience_s, self._late_s)
        if now - self._since < patience_s or self._told == self._place:
            return
        if self._rank == min(rank for rank, sign in signs.items() if self._is_alive(sign, now)):
            self._told = self._place
            self._say(describe(signs, self._size, now, late_s=self._late_s))

    @property
    def _late_s(self) -> float:
        return 4 * self._beat_s

    def _is_alive(self, sign: Mapping[str, Any], now: float) -> bool:
        return now - float(sign["seen"]) < self._late_s

    def _signs(self, store: Store) -> dict[int, dict[str, Any]]:
        """Return the heartbeats by rank, with times of this process's clock; machines differ."""
        known = [rank for rank in range(self._size) if store.check([_key(rank)])]
        signs = {rank: json.loads(store.get(_key(rank))) for rank in known}
        for rank, sign in signs.items():
            theirs, _ = self._heard.get(rank, (None, 0.0))
            if theirs != sign["seen"]:
                self._heard[rank] = (sign["seen"], time.time())
            sign["seen"] = self._heard[rank][1]
        return signs


def describe(
    signs: Mapping[int, Mapping[str, Any]], size: int, now: float, *, late_s: float
) -> str:
    """Return where each of `size` processes stands, those that are behind the others first.

    Args:
        signs: by rank: place, since when it is there, when it was last seen, seconds of the clock.
        size: number of processes.
        now: seconds of the same clock.
        late_s: a process not seen for so long counts as gone.
    """
    waiting = min((now - float(sign["since"]) for sign in signs.values()), default=0.0)
    parts = [f"no progress for {waiting:.0f} s"]
    for rank in sorted(range(size), key=lambda r: float(signs[r]["since"]) if r in signs else 0.0):
        if rank not in signs:
            parts.append(f"process {rank} never sent a heartbeat")
            continue
        sign = signs[rank]
        text = f"process {rank} is at {sign['place']} for {now - float(sign['since']):.0f} s"
        silent = now - float(sign["seen"])
        parts.append(text + (f", silent for {silent:.0f} s" if silent > late_s else ""))
    return "; ".join(parts)


def _key(rank: int) -> str:
    return f"focaldet/{rank}"
