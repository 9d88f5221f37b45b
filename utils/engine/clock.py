"""Time spent on training alone, without validation and checkpoints; and the time still to go."""

import time
from typing import Any


class TrainingClock:
    """Seconds and images of the epoch and of the whole training, across resumes."""

    def __init__(self) -> None:
        self.epoch_seconds = 0.0
        self.epoch_images = 0
        self.total_seconds = 0.0
        self.total_images = 0
        self._mark = time.perf_counter()

    def start(self) -> None:
        """Begin to count here; the time before does not count."""
        self._mark = time.perf_counter()

    def count(self, images: int) -> None:
        """Count `images` and the time since the last `start` or `count`."""
        now = time.perf_counter()
        self.epoch_seconds += now - self._mark
        self.total_seconds += now - self._mark
        self.epoch_images += images
        self.total_images += images
        self._mark = now

    def start_epoch(self) -> None:
        """Set the epoch's part to zero."""
        self.epoch_seconds = 0.0
        self.epoch_images = 0

    @property
    def epoch_speed(self) -> float:
        """Images per second in this epoch; 0 before the first."""
        return self.epoch_images / self.epoch_seconds if self.epoch_seconds else 0.0

    @property
    def speed(self) -> float:
        """Images per second over the training; 0 before the first."""
        return self.total_images / self.total_seconds if self.total_seconds else 0.0

    def state(self) -> dict[str, Any]:
        """Return what `load_state` restores."""
        return {
            "epoch_seconds": self.epoch_seconds,
            "epoch_images": self.epoch_images,
            "total_seconds": self.total_seconds,
            "total_images": self.total_images,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the counts."""
        self.epoch_seconds = state["epoch_seconds"]
        self.epoch_images = state["epoch_images"]
        self.total_seconds = state["total_seconds"]
        self.total_images = state["total_images"]


class Pace:
    """Estimates the time left from the epochs of this process, validation included."""

    def __init__(self, position: float) -> None:
        self._start = time.monotonic()
        self._position = position

    def remaining_s(self, position: float, end: float) -> float:
        """Return the seconds from `position` to `end`, both in epochs; 0 before any progress."""
        done = position - self._position
        return (time.monotonic() - self._start) / done * (end - position) if done > 0 else 0.0
