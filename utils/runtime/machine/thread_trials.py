"""Compute threads by trial: the number that is fastest under the machine's present load.

Two threads on two cores are twice as fast as one, or four times slower where another program has
one of the cores. A few batches show which.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

logger = logging.getLogger(__name__)

PERIOD = 100
"""Batches from one trial to the next."""
TRIED = 3
"""Batches with each number of threads; the first one, which prepares operators, does not count."""


class FixedThreads:
    """The number of threads stays as it is."""

    @contextmanager
    def batch(self, amount: int) -> Iterator[None]:
        """Compute a batch inside."""
        yield


class ThreadTrials(FixedThreads):
    """Every `PERIOD` batches tries each of `choices` on `TRIED` of them and keeps the fastest.

    Args:
        choices: numbers of threads, at least one.
        apply: sets the number of threads.
        clock: seconds.
    """

    def __init__(
        self,
        choices: Sequence[int],
        apply: Callable[[int], None],
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._choices = tuple(choices)
        self._apply = apply
        self._clock = clock
        self._position = 0
        self._costs: dict[int, float] = {}
        self.chosen: int | None = None
        """Result of the last trial; None before."""

    @contextmanager
    def batch(self, amount: int) -> Iterator[None]:
        """Compute a batch inside; `amount` is its work, in pixels, say."""
        trial, number = divmod(self._position, TRIED)
        is_trial = trial < len(self._choices)
        if is_trial and number == 0:
            self._apply(self._choices[trial])
            self._costs[self._choices[trial]] = 0.0
        start = self._clock()
        yield
        if is_trial and number > 0:
            self._costs[self._choices[trial]] += (self._clock() - start) / amount
        self._position = (self._position + 1) % PERIOD
        if self._position == TRIED * len(self._choices):
            self._choose()

    def _choose(self) -> None:
        best = min(self._choices, key=lambda threads: self._costs[threads])
        if best != self.chosen:
            logger.info("computing with %d of up to %d threads", best, max(self._choices))
        self.chosen = best
        self._apply(best)


def thread_choices(cores: int) -> tuple[int, ...]:
    """Return the numbers of threads worth a trial on `cores`: all, half of them, one."""
    return tuple(sorted({max(1, cores), max(1, cores // 2), 1}, reverse=True))
