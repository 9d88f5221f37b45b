"""What a person sees of a training: a bar over the batches, and a line per epoch.

Where there is no terminal, as in the log of a job, a line a minute stands for the bar.
"""

import logging
from collections.abc import Mapping
from time import monotonic, perf_counter
from typing import Any

from utils.engine.clock import Pace
from utils.engine.history import Row
from utils.engine.hook import Hook
from utils.engine.run import Run
from utils.runtime.machine.memory import GIB, used_memory
from utils.runtime.progress import format_duration, progress_bar
from utils.structures.loss_terms import LossTerms
from utils.structures.metrics_columns import term_columns, validation_columns

ESTIMATED_AFTER = 5
"""Batches after which the length of the run is estimated; the first, a slow one, is left out."""
LINE_EVERY_S = 60.0
"""Time between two lines within an epoch where there is no bar."""

logger = logging.getLogger(__name__)


class Console(Hook):
    """Draws the bar where there is a terminal, else logs a line a minute; logs each epoch's
    numbers.
    """

    def __init__(self) -> None:
        self._bar: Any = None
        self._pace = Pace(0.0)
        self._batches = 0
        self._began = 0.0
        self._said = monotonic()

    def before_training(self, run: Run) -> None:
        """Log what the start is worth, if it was evaluated, and show the bar of the first epoch."""
        if run.metrics:
            ap, ap50 = run.metrics["map50_95"], run.metrics["map50"]
            logger.info(
                "epoch 0/%d  before training  mAP50-95 %.4f  mAP50 %.4f",
                run.settings.epochs,
                ap,
                ap50,
            )
        self._pace = Pace(run.position)
        if not run.is_finished:
            self._open_bar(run)

    def after_step(self, run: Run, losses: LossTerms) -> None:
        """Move the bar; after a few batches, say how long the run will take."""
        self._estimate(run)
        if self._bar is None:
            return
        if not self._bar.disable:
            self._bar.set_postfix_str(_batch_text(run), refresh=False)
        elif monotonic() - self._said > LINE_EVERY_S:
            self._said = monotonic()
            left = format_duration(self._pace.remaining_s(run.position, run.settings.epochs))
            logger.info("%s: %s, %s left", run.place, _batch_text(run), left)
        self._bar.update(run.batch - self._bar.n)
        if run.batch == run.batches_per_epoch:
            self._close_bar()  # the evaluation shows its own bar

    def after_epoch(self, run: Run) -> None:
        """Log the line of the epoch and show the bar of the next one."""
        self._close_bar()
        epochs = run.settings.epochs
        remaining_s = 0.0 if run.is_last_epoch else self._pace.remaining_s(run.epoch, epochs)
        text = epoch_text(run.metrics, epochs=epochs, is_best=run.is_best, remaining_s=remaining_s)
        logger.info("%s", text)
        self._said = monotonic()
        if not run.is_last_epoch:
            self._open_bar(run)

    def after_training(self, run: Run) -> None:
        """Remove the bar."""
        self._close_bar()

    def _estimate(self, run: Run) -> None:
        self._batches += 1
        if self._batches == 1:
            self._began = perf_counter()
        if self._batches != ESTIMATED_AFTER:
            return
        seconds = (perf_counter() - self._began) / (ESTIMATED_AFTER - 1)
        left = (run.settings.epochs - run.position) * run.batches_per_epoch
        logger.info(
            "about %s left for %d %s, estimated from the first %d batches; evaluation not included",
            format_duration(seconds * left),
            run.settings.epochs,
            "epoch" if run.settings.epochs == 1 else "epochs",
            ESTIMATED_AFTER,
        )

    def _open_bar(self, run: Run) -> None:
        is_between = run.batch in (0, run.batches_per_epoch)
        name = f"epoch {run.epoch + is_between}/{run.settings.epochs}"
        start = 0 if is_between else run.batch
        self._bar = progress_bar(name, total=run.batches_per_epoch, initial=start)

    def _close_bar(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _batch_text(run: Run) -> str:
    text = batch_text(run.losses.means(), lr=run.learning_rate, speed=run.clock.epoch_speed)
    return f"{text} {used_memory(run.learner.device) / GIB:.2g} GiB"


def batch_text(losses: Mapping[str, float], *, lr: float, speed: float) -> str:
    """Return the losses so far, learning rate and images per second, shown beside the bar."""
    return f"{' '.join(_term_texts(losses))} lr {lr:.2g} {speed:.0f} img/s"


def epoch_text(row: Row, *, epochs: int, is_best: bool, remaining_s: float) -> str:
    """Return the log line of an epoch, from its row of metrics.csv."""
    parts = [
        f"epoch {row['epoch']}/{epochs}",
        *_term_texts({name: row[name] for name in term_columns(row)}),
        f"lr {row['lr']:.2g}",
        f"{row['images_per_second']:.0f} img/s",
    ]
    if row["map50_95"] is not None:
        best = " (best)" if is_best else ""
        losses = [row[name] for name in validation_columns(row)]
        known = [loss for loss in losses if loss is not None]
        if losses and len(known) == len(losses):
            parts.append(f"val loss {sum(known):.4f}")
        parts += [f"mAP50-95 {row['map50_95']:.4f}{best}", f"mAP50 {row['map50']:.4f}"]
    if remaining_s > 0:
        parts.append(f"remaining {format_duration(remaining_s)}")
    return "  ".join(parts)


_SHORT = {"objectness": "obj", "classification": "cls"}


def _term_texts(terms: Mapping[str, float | None]) -> list[str]:
    return [
        f"{_SHORT.get(name, name)} {value:.4f}"
        for name, value in terms.items()
        if value is not None and name != "foreground"
    ]
