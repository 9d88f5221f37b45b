"""When the state of a training is written."""

import logging
import time

from utils.engine.hook import Hook
from utils.engine.run import Run
from utils.structures.loss_terms import LossTerms

logger = logging.getLogger(__name__)


class PeriodicCheckpoints(Hook):
    """Asks for a checkpoint after each epoch, and whenever `minutes` have passed since the last."""

    def __init__(self, minutes: float) -> None:
        self._interval_s = minutes * 60
        self._saved_at = time.monotonic()

    def before_training(self, run: Run) -> None:
        """Count the time from now on."""
        self._saved_at = time.monotonic()

    def after_step(self, run: Run, losses: LossTerms) -> None:
        """Ask for one if it is due."""
        if time.monotonic() - self._saved_at >= self._interval_s:
            logger.info("checkpoint at %s", run.place)
            self._ask(run)

    def after_epoch(self, run: Run) -> None:
        """Ask for one."""
        self._ask(run)

    def _ask(self, run: Run) -> None:
        run.save()
        self._saved_at = time.monotonic()
