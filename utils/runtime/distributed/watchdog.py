"""Says which process waits where, when the processes of a training stand still."""

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

import torch.distributed as dist

logger = logging.getLogger(__name__)

BEAT_S = 5.0
"""Seconds between two signs of life."""
PATIENCE_S = 120.0
"""Seconds without progress before it is said."""


class Store(Protocol):
    """Where processes leave words for each other."""

    def set(self, key: str, value: str) -> None:
        """Write an entry."""
        ...

    def get(self, key: str) -> bytes:
        """Read an entry that is there."""
        ...

    def check(self, keys: list[str]) -> bool:
        """Tell whether the entries are there."""
        ...


class Watchdog:
    """Writes down what this process does and, if nothing moves for long, what all of them do.

    Without a store it does nothing. A thread of its own does the writing: the process may hang in a
    collective operation while the thread goes on.
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
        """Begin to watch."""
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._thread.start()

    def at(self, place: str) -> None:
        """Take down that this process has come to `place`."""
        self._place, self._since = place, time.time()

    def stop(self) -> None:
        """End the watch."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)

    def _watch(self) -> None:
        while not self._ended.wait(self._beat_s):
            try:
                self.beat()
            except RuntimeError:  # the store is gone, and the training with it
                return

    def beat(self) -> None:
        """Give a sign of life; speak up if this process has stood still for too long."""
        if self._store is None:
            return
        now = time.time()
        sign = {"place": self._place, "since": self._since, "seen": now}
        self._store.set(_key(self._rank), json.dumps(sign))
        if now - self._since < self._patience_s or self._told == self._place:
            return
        signs = self._signs(self._store)
        if self._rank == min(rank for rank, sign in signs.items() if self._is_alive(sign, now)):
            self._told = self._place
            self._say(describe(signs, self._size, now, late_s=self._late_s))

    @property
    def _late_s(self) -> float:
        return 4 * self._beat_s

    def _is_alive(self, sign: Mapping[str, float | str], now: float) -> bool:
        return now - float(sign["seen"]) < self._late_s

    def _signs(self, store: Store) -> dict[int, dict[str, float | str]]:
        known = [rank for rank in range(self._size) if store.check([_key(rank)])]
        return {rank: json.loads(store.get(_key(rank))) for rank in known}


def describe(
    signs: Mapping[int, Mapping[str, float | str]], size: int, now: float, *, late_s: float
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
            parts.append(f"process {rank} never gave a sign of life")
            continue
        sign = signs[rank]
        text = f"process {rank} is at {sign['place']} for {now - float(sign['since']):.0f} s"
        silent = now - float(sign["seen"])
        parts.append(text + (f", silent for {silent:.0f} s" if silent > late_s else ""))
    return "; ".join(parts)


def _key(rank: int) -> str:
    return f"focaldet/{rank}"
