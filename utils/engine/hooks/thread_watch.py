"""Says once in a run when its number of compute threads no longer suits the machine's load."""

import logging
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

from utils.engine.hook import Hook
from utils.engine.run import Run
from utils.runtime.machine.load import LoadMeter, threads_beside
from utils.structures.loss_terms import LossTerms

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 30.0
LOOKS = 4
"""Looks in a row that have to agree: a compiler or a backup passes."""


class ThreadWatch(Hook):
    """Compares the number of threads with the one that would be chosen now; changes nothing.

    Args:
        threads: number in use.
        is_chosen: it was chosen by `train.threads: auto`; a number that the user sets is not
            commented on. A resumed run knows it from its checkpoint.
        open_meter: begins to measure what other programs take.
        clock: seconds.
    """

    def __init__(
        self,
        threads: int,
        *,
        is_chosen: bool,
        open_meter: Callable[[], LoadMeter] = LoadMeter,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._threads = threads
        self._is_chosen = is_chosen
        self._open_meter = open_meter
        self._clock = clock
        self._meter: LoadMeter | None = None
        self._looked_at = clock()
        self._taken: list[float] = []
        """What other programs took in the last looks, all of which asked for other threads."""

    def before_training(self, run: Run) -> None:
        """Begin to measure."""
        self._meter = self._open_meter() if self._is_chosen else None
        self._looked_at = self._clock()

    def after_step(self, run: Run, losses: LossTerms) -> None:
        """Measure the load of other programs, if it is time."""
        if self._meter is None or self._clock() - self._looked_at < LOOK_EVERY_S:
            return
        self._looked_at = self._clock()
        taken = self._meter.cores_taken()
        if self._taken and not self._is_same_way(taken):
            self._taken.clear()
        if threads_beside(taken) != self._threads:
            self._taken.append(taken)
        if len(self._taken) == LOOKS:
            self._say(run, sum(self._taken) / LOOKS)
            self._meter = None

    def state(self) -> dict[str, Any]:
        """Return whether the number was chosen, which the configuration of the run does not say."""
        return {"is_chosen": int(self._is_chosen)}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Take it back."""
        self._is_chosen = self._is_chosen or bool(state["is_chosen"])

    def _is_same_way(self, taken: float) -> bool:
        """Tell whether a load asks for more threads as the one before did, or for fewer as it."""
        before, now = threads_beside(self._taken[-1]), threads_beside(taken)
        return (before > self._threads) == (now > self._threads) and now != self._threads

    def _say(self, run: Run, taken: float) -> None:
        wanted = threads_beside(taken)
        logger.warning(
            "other programs keep %.1f cores busy by now: %d compute %s suit that better than the "
            "%d of this run, which keeps its number so that a resumed run ends in the same bits; "
            "to change it, stop the run and continue with --resume %s train.threads=%d",
            taken,
            wanted,
            "thread would" if wanted == 1 else "threads would",
            self._threads,
            run.folder.path,
            wanted,
        )
