"""Graceful shutdown: the first signal requests a stop, the second one aborts."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""SIGHUP is sent when the terminal or the connection is closed."""


class StopWaiting(Exception):  # noqa: N818
    """Raised in code that waits when the program is asked to stop."""


_active: "list[StopRequest]" = []
_waiting = {"now": False}


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Let a request to stop raise StopWaiting at once, for code that only waits.

    The code inside may be left at any point.

    Raises:
        StopWaiting: a signal came, before or meanwhile.
    """
    _waiting["now"] = True
    try:
        if any(request.requested and request.is_owner for request in _active):
            raise StopWaiting
        yield
    finally:
        _waiting["now"] = False


class StopRequest:
    """Turns SIGINT, SIGTERM and SIGHUP into `requested` while its `with` block runs.

    A second SIGINT or SIGTERM raises KeyboardInterrupt; a closing terminal may send SIGHUP several
    times, and programs that ignore it (nohup) keep ignoring it. Outside the main thread, where
    Python allows no handlers, it changes nothing. Forked children (loader workers) ignore SIGINT,
    which a terminal sends to the whole group, and die of SIGTERM as usual.
    """

    def __init__(self, *, while_waiting: bool = False) -> None:
        """Initialise; `while_waiting` lets a signal interrupt blocks of `stopping_at_once`."""
        self.requested = False
        self._while_waiting = while_waiting
        self._owner = os.getpid()
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if _is_hangup(number) and signal.getsignal(number) is signal.SIG_IGN:
                    continue
                self._previous[number] = signal.signal(number, self._handle)
        if self._while_waiting:
            _active.append(self)
        return self

    @property
    def is_owner(self) -> bool:
        """Tell whether this is the process that waits for signals, not a child of it."""
        return os.getpid() == self._owner

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self in _active:
            _active.remove(self)
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            if number != signal.SIGINT:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
        elif self.requested and not _is_hangup(number):
            raise KeyboardInterrupt
        else:
            self.requested = True
            if _waiting["now"] and self in _active:
                raise StopWaiting


def _is_hangup(number: int) -> bool:
    return number == getattr(signal, "SIGHUP", None)
