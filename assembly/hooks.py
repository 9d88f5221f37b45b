"""The hooks of a training: those that every run has, and those that a user brings."""

from collections.abc import Sequence
from functools import partial

from assembly.detector import TrainingStart, weights_metadata
from data.records import Split
from models.losses import DetectionCriterion
from models.losses.budget import measure_budget
from utils.engine.hooks.best_weights import BestWeights
from utils.engine.hooks.checkpoints import PeriodicCheckpoints
from utils.engine.hooks.console import Console
from utils.engine.hooks.csv_history import CsvHistory
from utils.engine.hooks.early_stopping import EarlyStopping
from utils.engine.hooks.hook import Hook
from utils.engine.hooks.loss_budget import LossBudgetLog
from utils.engine.hooks.tensorboard import TensorBoard
from utils.runtime.run_folder import RunFolder


def training_hooks(
    start: TrainingStart,
    split: Split,
    folder: RunFolder,
    *,
    budget: LossBudgetLog | None,
    own: Sequence[Hook],
) -> tuple[Hook, ...]:
    """Return what the first process does beside a training, in the order in which it is called.

    Early stopping comes before whoever says how long the training still takes, the user's `own`
    hooks before the loggers that write what they add to `run.extras`.
    """
    experiment = start.loaded.experiment
    settings = experiment.train
    return (
        BestWeights(weights_metadata(start.loaded, start.detector, split)),
        *([budget] if budget is not None else []),
        *([EarlyStopping(settings.patience)] if settings.patience else []),
        *own,
        CsvHistory(folder.metrics),
        *([TensorBoard(folder.events)] if settings.tensorboard else []),
        Console(),
        PeriodicCheckpoints(experiment.run.checkpoint_minutes),
    )


def budget_log(
    start: TrainingStart, criterion: DetectionCriterion, folder: RunFolder, *, batches: int
) -> LossBudgetLog | None:
    """Return what measures where the loss comes from; None if `loss.budget_interval` is 0.

    `batches` is the number of them in an epoch.
    """
    experiment = start.loaded.experiment
    if experiment.loss.budget_interval == 0:
        return None
    return LossBudgetLog(
        partial(measure_budget, criterion),
        interval=experiment.loss.budget_interval,
        batches_per_epoch=batches,
        epochs=experiment.train.epochs,
        folder=folder,
    )
