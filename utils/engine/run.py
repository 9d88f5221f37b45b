"""A training run as hooks see it, and its outcome."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from torch import nn

from configs.schema.train import TrainSettings
from utils.engine.clock import TrainingClock
from utils.engine.history import Row
from utils.engine.learner import Learner
from utils.engine.loss_log import LossLog
from utils.engine.protocols import Evidence
from utils.runtime.files.run_folder import RunFolder
from utils.structures.results import EvalResult


class TrainingStopped(KeyboardInterrupt):
    """A signal asked to stop; the state was saved."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSummary:
    """The results of a finished training run."""

    epochs: int
    """Epochs trained."""
    steps: int
    """Optimizer steps."""
    images_per_second: float
    """Over all training, without validation."""
    seconds: float
    """Of training, without validation."""
    best_epoch: int | None
    """Epoch of best.safetensors, from 1; None without validation data: the last one is saved."""
    best_result: Mapping[str, Any] | None
    """EvalResult.to_json() of that epoch."""
    batches_left_out: int
    """Batches that were skipped because loss or gradient was not finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best epoch so far, from 1, its mAP50-95 in [0, 1] and `EvalResult.to_json` of it."""

    epoch: int
    score: float
    result: Mapping[str, Any]


@dataclass(kw_only=True, eq=False)
class Run:
    """A training run in progress.

    Hooks read it and may call `stop` and `save`; everything else is set by the trainer. Epochs and
    batches count from 1 here, as in all output.
    """

    settings: TrainSettings
    """Section `train` of the configuration; all of it is in `folder.config`."""
    folder: RunFolder
    """Where results go; `folder.path` is the folder itself."""
    learner: Learner
    losses: LossLog
    """Means of the loss terms over the epoch so far: `losses.means()`."""
    batches_per_epoch: int
    clock: TrainingClock = field(default_factory=TrainingClock)
    """Seconds and images per second of training, without validation."""

    epochs_done: int = 0
    """Epochs completed, with their evaluation and hooks."""
    batch: int = 0
    """Batches done in this epoch; 0 between two epochs."""
    result: EvalResult | None = None
    """The last evaluation of this process; None before the first."""
    evidence: Evidence | None = None
    """Pictures and detections of the last evaluation: `evidence.pictures(6)`; None without one."""
    best: Best | None = None
    """The best epoch; None without validation or before the first one."""
    is_best: bool = False
    """The epoch that has just ended is the best one so far."""
    metrics: Row = field(default_factory=dict)
    """The last epoch's row of metrics.csv by column; `map50_95` and the like are None where it was
    not evaluated, the loss on the validation images (`val_box` and so on) is there only where it
    was computed. Before the first epoch that of epoch 0, the evaluation of the weights that the
    training starts from, empty where they were not evaluated."""
    extras: dict[str, float | None] = field(default_factory=dict)
    """Further values of the epoch that hooks add for later loggers, such as TensorBoard; cleared
    with the next epoch."""
    stop_reason: str | None = None
    """The reason given to `stop`."""
    wants_checkpoint: bool = False

    @property
    def epoch(self) -> int:
        """The epoch of the last batch, from 1; 0 before the first batch of all."""
        return self.epochs_done + (self.batch > 0)

    @property
    def position(self) -> float:
        """Epochs done, as a fraction."""
        return self.epochs_done + self.batch / self.batches_per_epoch

    @property
    def step(self) -> int:
        """Optimizer steps so far."""
        return self.learner.step

    @cached_property
    def total_steps(self) -> int:
        """Optimizer steps of the whole training if nothing ends it early."""
        schedule, total = self.learner.schedule, self.settings.epochs * self.batches_per_epoch
        steps = pending = 0
        for iteration in range(schedule.warmup_iterations):
            pending += 1
            if pending >= schedule.at(iteration).accumulate:
                steps, pending = steps + 1, 0
        rest = pending + total - schedule.warmup_iterations
        return steps + math.ceil(rest / schedule.at(total - 1).accumulate)

    @property
    def learning_rate(self) -> float:
        """Learning rate of weights in the last batch."""
        last = self.epochs_done * self.batches_per_epoch + self.batch - 1
        return self.learner.schedule.at(max(last, 0)).lr

    @property
    def model(self) -> nn.Module:
        """The network in training; changing it changes the training."""
        return self.learner.model

    @property
    def average_model(self) -> nn.Module:
        """The running average of its weights, which is what is evaluated and saved."""
        return self.learner.average.model

    @property
    def is_last_epoch(self) -> bool:
        """Tell whether this epoch (or the one just ended) is the last one."""
        return self.epochs_done + 1 >= self.settings.epochs or self.stop_reason is not None

    @property
    def is_finished(self) -> bool:
        """Tell whether training is complete: all epochs are done, or it was stopped.

        False in `after_training` means that it was interrupted or failed.
        """
        return self.epochs_done >= self.settings.epochs or (
            self.stop_reason is not None and self.batch == 0
        )

    @property
    def place(self) -> str:
        """Epoch and batch in words."""
        return f"epoch {self.epochs_done + 1}, batch {self.batch}/{self.batches_per_epoch}"

    def begin_epoch(self) -> None:
        """Go to the next epoch."""
        self.epochs_done, self.batch = self.epochs_done + 1, 0
        self.extras = {}
        self.losses.reset()
        self.clock.start_epoch()

    def stop(self, reason: str) -> None:
        """End the training with this epoch, and say why.

        The rest of the epoch is not trained; its weights are evaluated, and all results are
        written. `--resume` continues with the next epoch.
        """
        self.stop_reason = reason

    def save(self) -> None:
        """Write a checkpoint after all hooks of this step or epoch."""
        self.wants_checkpoint = True

    def state(self) -> dict[str, Any]:
        """Return what `load_state` restores."""
        best = self.best
        return {
            "epoch": self.epochs_done,
            "batch": self.batch,
            "best": best
            and {"epoch": best.epoch, "score": best.score, "result": dict(best.result)},
            "losses": self.losses.state(),
            "clock": self.clock.state(),
        }

    def load_state(self, state: Mapping[str, Any], *, batches: int) -> None:
        """Go to where `state` was saved, in epochs that had `batches` batches.

        An epoch in progress continues at the same fraction.
        """
        self.epochs_done = state["epoch"]
        self.batch = round(state["batch"] * self.batches_per_epoch / batches)
        self.best = Best(**state["best"]) if state["best"] else None
        self.losses.load_state(state["losses"])
        self.clock.load_state(state["clock"])
