"""Detect processes that are stopped or gone while others wait for them in a collective operation.

A process that waits in a collective operation runs no Python: no signal handlers, no checks. A
thread does both. It logs which process is stopped, and if the user requests an end, ends this
process and the stopped ones.
"""

import logging
import os
import select
import signal
import socket
import threading
import time
from contextlib import suppress

import psutil

from utils.runtime.distributed.watchdog import Watchdog
from utils.runtime.interrupt import SIGNALS
from utils.runtime.machine.process_state import is_stopped

logger = logging.getLogger(__name__)

LOOK_S = 0.25
"""Seconds between two checks."""
PAUSE_S = 0.8
"""Seconds that an operation may take to end by itself after a signal."""
STOPPED_S = 10.0
"""Seconds for which a process is stopped before it is logged: a debugger may pause it briefly."""
SILENT_S = 20.0
"""Seconds that the store may take to answer before it is logged."""
INTERRUPTED_CODE = 130


class PeerGuard(threading.Thread):
    """Checks the other processes and signals until `stop`."""

    def __init__(self, watchdog: Watchdog) -> None:
        """Initialise; only the main thread may create and stop it, as it sets a wakeup file."""
        super().__init__(name="peer guard", daemon=True)
        self._watchdog = watchdog
        self._reading, self._writing = socket.socketpair()
        self._reading.setblocking(False)
        self._writing.setblocking(False)
        self._previous = _wake(self._writing.fileno())
        self._asked_at: float | None = None
        self._stopped_since: dict[int, float] = {}
        self._said: set[int] = set()
        self._ended = threading.Event()

    def stop(self) -> None:
        """Stop the thread."""
        self._ended.set()
        _wake(self._previous)
        with suppress(OSError):
            self._writing.send(b"\0")  # no signal: the look is over
        self.join(timeout=LOOK_S)
        self._reading.close()
        self._writing.close()

    def run(self) -> None:
        """Check four times a second."""
        while not self._ended.is_set():
            self._listen()
            stopped = self._look()
            if self._asked_at is not None:
                self._judge_end(stopped)

    def _listen(self) -> None:
        """Wait for a signal until the next check."""
        with suppress(OSError, ValueError):
            if select.select([self._reading], [], [], LOOK_S)[0]:
                numbers = self._reading.recv(64)
                if any(number in SIGNALS for number in numbers) and self._asked_at is None:
                    self._asked_at = time.time()

    def _look(self) -> dict[int, int]:
        """Return and log once the process ids of stopped processes of this machine, by rank."""
        now = time.time()
        peers = self._watchdog.local_peers()
        stopped = {rank: pid for rank, pid in peers.items() if is_stopped(pid)}
        self._stopped_since = {rank: self._stopped_since.get(rank, now) for rank in stopped}
        for rank, since in self._stopped_since.items():
            if now - since >= STOPPED_S and rank not in self._said and self._watchdog.speaks:
                self._said.add(rank)
                logger.warning(
                    "process %d is stopped, the others wait for it (%.0f s): continue it (kill "
                    "-CONT %d), or end all with Ctrl-C and resume from the last checkpoint",
                    rank,
                    now - since,
                    stopped[rank],
                )
        began = self._watchdog.beat_began
        if began is not None and now - began >= SILENT_S and not self._said:
            self._said.add(-1)
            logger.warning(
                "no answer from process 0 for %.0f s: is it stopped, or its machine lost? end "
                "all with Ctrl-C and resume from the last checkpoint",
                now - began,
            )
        return stopped

    def _judge_end(self, stopped: dict[int, int]) -> None:
        """Exit if an end was requested and this process waits for one that cannot answer."""
        assert self._asked_at is not None
        is_lost = bool(stopped) or -1 in self._said
        waits = self._watchdog.since < self._asked_at and time.time() - self._asked_at >= PAUSE_S
        if not (is_lost and waits):
            return
        logger.warning(
            "stopped on request while process %s does not answer; the last checkpoint is complete",
            ", ".join(map(str, stopped)) or "0",
        )
        for pid in stopped.values():
            with suppress(psutil.Error):
                psutil.Process(pid).kill()
        os._exit(INTERRUPTED_CODE)


def _wake(handle: int) -> int:
    """Let Python write the number of each signal to a file descriptor; -1 for none."""
    if threading.current_thread() is not threading.main_thread():
        return -1
    if handle < 0:
        return signal.set_wakeup_fd(-1)
    return signal.set_wakeup_fd(handle, warn_on_full_buffer=False)
