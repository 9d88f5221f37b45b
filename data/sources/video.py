"""Video files, cameras and streams."""

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Protocol, cast

import cv2
import numpy as np
import numpy.typing as npt

from data.sources.find import Found, is_stream, without_credentials
from utils.runtime.errors import UserError
from utils.runtime.interrupt import stopping_at_once
from utils.structures.images import ImageArray

logger = logging.getLogger(__name__)

OPEN_S = 15.0
"""Seconds that a stream has for its first answer, and for every picture."""
USUAL_FRAME_RATE = 25.0
"""Pictures per second of sources that do not say."""
HIGHEST_FRAME_RATE = 240.0
"""Above this a stream reports its clock rate, not its frame rate."""
RECONNECTS = 5
"""Attempts to reach a silent stream again, one after another."""
FIRST_WAIT_S = 1.0
"""Before the first attempt; doubled before each further one."""


class Capture(Protocol):
    """The used part of cv2.VideoCapture."""

    def isOpened(self) -> bool:  # noqa: N802
        """Whether there is something to read."""

    def grab(self) -> bool:
        """Advance to the next picture."""

    def retrieve(self) -> tuple[bool, npt.NDArray[np.uint8]]:
        """Return whether that worked, and the picture in BGR."""

    def get(self, prop: int) -> float:
        """Return a property."""

    def release(self) -> None:
        """Close."""


def open_capture(location: str) -> Capture:
    """Return the capture of a file, the number of a camera or an address; it may be closed."""
    try:
        if location.isdecimal():
            return cast(Capture, cv2.VideoCapture(int(location)))
        if not is_stream(location):
            return cast(Capture, cv2.VideoCapture(location))
        logger.info("connecting to %s", without_credentials(location))
        return _within_patience(location)
    except cv2.error as error:
        raise UserError(f"{without_credentials(location)}: cannot be opened") from error


def _within_patience(address: str) -> Capture:
    """Return the capture of an address, opened in a thread, so that signals are handled meanwhile.

    Raises:
        UserError: nothing answered within `OPEN_S`.
        StopWaiting: the program is asked to stop.
    """
    limits = [
        cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(OPEN_S * 1000),
        cv2.CAP_PROP_READ_TIMEOUT_MSEC, int(OPEN_S * 1000),
    ]  # fmt: skip
    opened: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def work() -> None:
        try:
            opened.put(cv2.VideoCapture(address, cv2.CAP_FFMPEG, limits))
        except cv2.error:
            opened.put(None)

    threading.Thread(target=work, name="opening a stream", daemon=True).start()
    end = time.monotonic() + OPEN_S + 2.0
    while time.monotonic() < end:
        with suppress(queue.Empty), stopping_at_once():
            capture = opened.get(timeout=0.5)
            if capture is None:
                break
            return cast(Capture, capture)
    raise UserError(
        f"{without_credentials(address)}: gave no answer within {OPEN_S:.0f} s; is the address "
        "right and the stream on?"
    )


class VideoFile:
    """The pictures of a video file; iterable any number of times.

    After an iteration `num_missing` says how many of the pictures the file announces could not be
    decoded.
    """

    def __init__(self, found: Found, open_with: Callable[[str], Capture] = open_capture) -> None:
        """Open the file.

        Raises:
            UserError: it is not a video that can be decoded.
        """
        self.shown = found.shown
        self._location = found.location
        self._open_with = open_with
        self.num_missing = 0
        capture = self._open()
        self.frame_rate = frame_rate(capture)
        self.num_frames = max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
        capture.release()

    def __iter__(self) -> Iterator[ImageArray]:
        """Yield the pictures (H, W, 3) uint8 RGB."""
        capture = self._open()
        num_read = 0
        try:
            while capture.grab():
                is_whole, picture = capture.retrieve()
                if is_whole:
                    num_read += 1
                    yield to_rgb(picture)
        finally:
            capture.release()
        self.num_missing = max(0, self.num_frames - num_read)

    def _open(self) -> Capture:
        capture = self._open_with(self._location)
        if not capture.isOpened():
            raise UserError(f"{self.shown}: cannot be read as a video")
        return capture


class LiveStream:
    """The pictures of a camera or stream until it cannot be reached.

    Pictures that arrived during the processing of the last one are skipped, to stay live. An
    address that gives a number of pictures is a recording: its end is not a failure.
    """

    def __init__(
        self,
        found: Found,
        *,
        open_with: Callable[[str], Capture] = open_capture,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect.

        Args:
            found: the camera or address.
            open_with: makes the connection.
            wait: waits for seconds before it is made anew.
            clock: seconds that pass.

        Raises:
            UserError: there is no such camera or stream.
        """
        self.shown = f"camera {found.shown}" if found.location.isdecimal() else found.shown
        self._location = found.location
        self._open_with = open_with
        self._wait = wait
        self._clock = clock
        self._capture = open_with(found.location)
        if not self._capture.isOpened():
            raise UserError(f"{self.shown}: cannot be opened; is it there and free?")
        self.frame_rate = frame_rate(self._capture)
        self._is_recording = self._capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0

    def __iter__(self) -> Iterator[ImageArray]:
        """Yield the pictures (H, W, 3) uint8 RGB.

        Raises:
            UserError: the stream broke off and could not be reached again.
        """
        try:
            while self._read_on():
                shown_at = self._clock()
                is_whole, picture = self._capture.retrieve()
                if is_whole:
                    yield to_rgb(picture)
                    self._pass_over(self._clock() - shown_at)
        finally:
            self._capture.release()

    def _read_on(self) -> bool:
        """Advance to the next picture, reconnecting if needed; False at a recording's end."""
        if self._capture.grab():
            return True
        if self._is_recording:
            return False
        for attempt in range(1, RECONNECTS + 1):
            logger.warning("%s: no data; reconnecting (%d/%d)", self.shown, attempt, RECONNECTS)
            self._capture.release()
            self._wait(FIRST_WAIT_S * 2 ** (attempt - 1))
            self._capture = self._open_with(self._location)
            if self._capture.isOpened() and self._capture.grab():
                return True
        raise UserError(f"{self.shown}: broke off, and {RECONNECTS} attempts to reconnect failed")

    def _pass_over(self, seconds: float) -> None:
        if self._is_recording:
            return
        for _ in range(int(seconds * self.frame_rate)):
            if not self._capture.grab():
                return


def frame_rate(capture: Capture) -> float:
    """Return the pictures per second, `USUAL_FRAME_RATE` where the source does not say."""
    stated = capture.get(cv2.CAP_PROP_FPS)
    return stated if 0 < stated <= HIGHEST_FRAME_RATE else USUAL_FRAME_RATE


def to_rgb(picture: npt.NDArray[np.uint8]) -> ImageArray:
    """Return a picture of a capture, BGR (H, W, 3) or grey (H, W), as RGB."""
    code = cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB
    return cast(ImageArray, cv2.cvtColor(picture, code))
