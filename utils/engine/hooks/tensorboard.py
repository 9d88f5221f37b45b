"""A run for TensorBoard: numbers, settings, pictures of the validation, precision and recall."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from utils.engine.hook import Hook
from utils.engine.hooks.remote_log import flat_settings
from utils.engine.run import Run
from utils.metrics.score_curves import THRESHOLDS, score_curve
from utils.runtime.errors import UserError

MOST_PICTURES = 6
MOST_CLASSES = 20
"""Whose curves of precision and recall are written, beside that of all."""


class TensorBoard(Hook):
    """Writes the row of metrics.csv, and what other hooks measured, as events.

    Pictures and curves come with the best epochs so far, settings with the first.

    Raises:
        UserError: the tensorboard package is not installed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Prepare; `folder` of the events is that of the run where it is None."""
        if find_spec("tensorboard") is None:
            raise UserError(
                "train.tensorboard needs the package tensorboard: pip install tensorboard"
            )
        self._folder = folder
        self._writer: Any = None

    def before_training(self, run: Run) -> None:
        """Write the numbers of the start, if it was evaluated."""
        if run.metrics:
            self._write(run)

    def after_epoch(self, run: Run) -> None:
        """Write the numbers of the epoch."""
        self._write(run)
        if run.is_best and run.evidence is not None:
            writer = self._opened(run)
            for name, picture in run.evidence.pictures(MOST_PICTURES):
                writer.add_image(f"validation/{name}", picture, run.epoch, dataformats="HWC")
            self._add_curves(run)
            writer.flush()

    def _write(self, run: Run) -> None:
        writer = self._opened(run)
        for name, value in {**run.metrics, **run.extras}.items():
            if value is not None and name != "epoch":
                writer.add_scalar(name, value, run.epoch)
        writer.flush()

    def after_training(self, run: Run) -> None:
        """Write what the settings reached, for the page of hyper-parameters, and close the file."""
        if self._writer is None:
            return
        if run.best is not None and run.folder.config.is_file():
            from torch.utils.tensorboard.summary import hparams

            settings = {k: _plain(v) for k, v in flat_settings(run.folder).items()}
            reached = {"best/map50_95": run.best.score, "best/epoch": float(run.best.epoch)}
            for summary in hparams(settings, reached):
                self._writer.file_writer.add_summary(summary)
            for name, value in reached.items():
                self._writer.add_scalar(name, value, run.epochs_done)
        self._writer.close()

    def _opened(self, run: Run) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter  # slow, and only here

            folder = self._folder or run.folder.events
            # What an interrupted run wrote beyond its checkpoint is overwritten.
            self._writer = SummaryWriter(str(folder), purge_step=run.epoch)
            if run.folder.config.is_file():
                text = run.folder.config.read_text(encoding="utf-8")
                indented = "".join(f"    {line}\n" for line in text.splitlines())
                self._writer.add_text("settings", indented, run.epoch)
        return self._writer

    def _add_curves(self, run: Run) -> None:
        """Write precision and recall at IoU 0.5 by score."""
        assert run.evidence is not None
        found = run.evidence.scored()
        names = dict(enumerate(run.evidence.class_names[:MOST_CLASSES]))
        for label, name in ((None, "all"), *names.items()):
            curve = score_curve(found, label)
            truths = found.truths.sum() if label is None else found.truths[label]
            hits = curve.recall * max(int(truths), 1)
            precision = np.nan_to_num(curve.precision, nan=1.0)
            wrong = np.where(precision > 0, hits / np.maximum(precision, 1e-9) - hits, 0.0)
            self._writer.add_pr_curve_raw(
                f"precision_recall/{name}",
                true_positive_counts=hits,
                false_positive_counts=wrong,
                true_negative_counts=np.zeros_like(hits),
                false_negative_counts=np.maximum(truths - hits, 0),
                precision=precision,
                recall=curve.recall,
                global_step=run.epoch,
                num_thresholds=len(THRESHOLDS),
            )


def _plain(value: object) -> bool | str | float | int:
    return value if isinstance(value, (bool, int, float, str)) else str(value)
