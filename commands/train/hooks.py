"""The built-in hooks of a run, and the user's."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from configs.schema import Experiment
from models.losses import DetectionCriterion
from models.losses.criterion.budget import measure_budget
from utils.engine.hook import Hook
from utils.engine.hooks.checkpoints import BestWeights, PeriodicCheckpoints
from utils.engine.hooks.console import Console
from utils.engine.hooks.csv_history import CsvHistory
from utils.engine.hooks.early_stopping import EarlyStopping
from utils.engine.hooks.loss_budget import LossBudgetLog
from utils.engine.hooks.tensorboard import TensorBoard
from utils.runtime.files.run_folder import RunFolder


def training_hooks(
    experiment: Experiment,
    folder: RunFolder,
    *,
    metadata: Mapping[str, Any],
    budget: LossBudgetLog | None,
    own: Sequence[Hook],
    page: Hook | None,
    watch: Hook | None = None,
) -> tuple[Hook, ...]:
    """Return the hooks of a training run in the order in which they are called.

    Early stopping comes before the hook that logs the remaining time, the user's `own` hooks before
    the loggers that write what they add to `run.extras`, the page (None: no page) after the table
    that it reads. `metadata` is that of the weights; `watch` looks at the machine (None: nothing
    does).
    """
    settings = experiment.train
    return (
        BestWeights(metadata),
        *([budget] if budget is not None else []),
        *([EarlyStopping(settings.patience)] if settings.patience else []),
        *own,
        CsvHistory(folder.metrics),
        *([TensorBoard(folder.events)] if settings.tensorboard else []),
        Console(),
        *([watch] if watch is not None else []),
        *([page] if page is not None else []),
        PeriodicCheckpoints(experiment.run.checkpoint_minutes),
    )


def budget_log(
    experiment: Experiment, criterion: DetectionCriterion, folder: RunFolder, *, batches: int
) -> LossBudgetLog | None:
    """Return the hook of the loss budget; None if `loss.budget_interval` is 0.

    `batches` is the number of them in an epoch.
    """
    interval = experiment.loss.budget_interval
    if interval == 0:
        return None
    return LossBudgetLog(
        partial(measure_budget, criterion),
        interval=interval,
        batches_per_epoch=batches,
        epochs=experiment.train.epochs,
        folder=folder,
    )
