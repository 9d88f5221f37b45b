"""A polite end: the first signal asks, the second one breaks off."""

import os
import signal
import threading
from types import FrameType, TracebackType

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Turns SIGINT and SIGTERM into `requested` while its `with` block runs.

    A second signal raises KeyboardInterrupt. Outside the main thread, where Python allows no
    handlers, it changes nothing. Forked children (loader workers) ignore SIGINT, which a terminal
    sends to the whole group, and die of SIGTERM as usual.
    """

    def __init__(self) -> None:
        self.requested = False
        self._owner = os.getpid()
        self._previous: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            if number == signal.SIGTERM:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
        elif self.requested:
            raise KeyboardInterrupt
        else:
            self.requested = True
