"""The training of one network from its first batch to its last, however often interrupted.

What happens within a batch is in `learner.py`; evaluation comes in as a function.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import nn

from configs.schema.train import TrainSettings
from utils.engine.best import BestWeights
from utils.engine.budget_log import BudgetLog, MeasureBudget
from utils.engine.checkpoints import Checkpoints, restore
from utils.engine.clock import Pace, TrainingClock
from utils.engine.event_log import EventLog
from utils.engine.explanation import Explanation, explain_stop
from utils.engine.history import History, Row
from utils.engine.layers import LayerRules
from utils.engine.learner import Learner
from utils.engine.loss_log import LossLog, NotFiniteError, require_finite_state
from utils.engine.micro_batches import too_little_memory
from utils.engine.protocols import BatchSource, Criterion, Evaluate
from utils.engine.reporting import batch_text, epoch_text, result_columns
from utils.engine.stopping import EarlyStopping
from utils.engine.summary import TrainingStopped, TrainingSummary
from utils.runtime.interrupt import StopRequest, StopWaiting
from utils.runtime.progress import progress_bar
from utils.runtime.ranks import ALONE, Ranks
from utils.runtime.run_folder import RunFolder
from utils.runtime.thread_trials import KeptThreads
from utils.structures.results import EvalResult

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class Trainer:
    """Trains `model` on `batches` and leaves its files in `folder`.

    `metadata` goes into best.safetensors. `evaluate` gets the running average every
    `eval_interval` epochs and after the last; without it, the last weights count as best.
    `measure_budget` is called every `budget_interval` batches, see `BudgetLog`. Each of `ranks` has
    batches of its own and all the rest in common; the first one writes weights and states.
    Epochs and batches count from 0 inside and from 1 in everything a person reads.
    """

    model: nn.Module
    criterion: Criterion
    batches: BatchSource
    evaluate: Evaluate | None
    settings: TrainSettings
    device: torch.device
    folder: RunFolder
    metadata: Mapping[str, Any]
    eval_interval: int = 1
    checkpoint_minutes: float = 10.0
    rules: LayerRules = field(default_factory=LayerRules)
    measure_budget: MeasureBudget | None = None
    budget_interval: int = 50
    ranks: Ranks = ALONE
    threads: KeptThreads = field(default_factory=KeptThreads)

    def __post_init__(self) -> None:
        self.budgets = BudgetLog(
            self.measure_budget,
            interval=self.budget_interval,
            batches_per_epoch=len(self.batches),
            epochs=self.settings.epochs,
            folder=self.folder,
        )
        self.learner = Learner(
            self.model,
            self.criterion,
            self.settings,
            batches_per_epoch=len(self.batches),
            device=self.device,
            rules=self.rules,
            observe=self.budgets.observe,
            ranks=self.ranks,
        )
        self.learner.guard.explain = Explanation(self.learner, self.folder, len(self.batches))
        self.epoch = 0
        self.batch = 0
        self.losses = LossLog(self.device)
        self.stopping = EarlyStopping(self.settings.patience)
        self.best = BestWeights(
            folder=self.folder,
            metadata=self.metadata,
            stopping=self.stopping,
            is_writer=self.ranks.is_main,
        )
        self.history = History(self.folder.metrics)
        self.clock = TrainingClock()
        self._events = EventLog(self.folder.events, enabled=self.settings.tensorboard)
        self.checkpoints = Checkpoints(
            self.folder.last, minutes=self.checkpoint_minutes, is_writer=self.ranks.is_main
        )

    def run(self) -> TrainingSummary:
        """Train to the end, from the start or from where `resume` has put us.

        Raises:
            TrainingStopped: SIGINT or SIGTERM came; `resume` continues exactly there.
            NotFiniteError: the training diverged.
            UserError: a file cannot be written, or the device has too little memory.
        """
        pace = Pace(self.epoch + self.batch / len(self.batches))
        self.checkpoints.restart_clock()
        try:
            with StopRequest() as stop:
                while not self.is_finished:
                    with self._stopped_while_waiting(stop):
                        self._train_epoch(stop)
                        self._finish_epoch(pace)
                    self._leave_if_asked(stop)
        except NotFiniteError as error:
            place = self.epoch, self.batch if error.batch is None else error.batch
            raise explain_stop(error, self.learner, self.batches, self.folder, place) from error
        except torch.OutOfMemoryError as error:
            raise too_little_memory(self.device, self.settings) from error
        finally:
            self._events.close()
        return self._summary()

    @property
    def is_finished(self) -> bool:
        """Tell whether all epochs are done or the training has stopped to improve."""
        return self.epoch >= self.settings.epochs or self.stopping.should_stop

    def _train_epoch(self, stop: StopRequest) -> None:
        """Train the rest of the epoch, from batch number `self.batch` on."""
        total, name = len(self.batches), f"epoch {self.epoch + 1}/{self.settings.epochs}"
        source = self.batches.epoch(self.epoch, start=self.batch) if self.batch < total else ()
        self.learner.model.train()
        self.clock.start()
        with progress_bar(name, total=total, initial=self.batch) as bar:
            for batch in source:
                self.ranks.at(f"{name}, batch {self.batch + 1}/{total}")
                with self.threads.batch(batch.images.numel()):
                    terms = self.learner.learn(batch, self.epoch * total + self.batch)
                self.batch += 1
                if terms is not None:
                    self.losses.add(terms, epoch=self.epoch + 1, batch=self.batch)
                del terms  # see `Gradients`: nothing may lie in the memory of the next batch
                self.clock.count(len(batch) * self.ranks.size)
                bar.set_postfix_str(self._progress_text(), refresh=False)
                bar.update()
                self._save_if_due()
                self._leave_if_asked(stop)
        if self.batch != total:
            raise RuntimeError(f"{total} batches were announced but {self.batch} came")
        if self.epoch == self.settings.epochs - 1:
            self.learner.finish(self._last_iteration)
        self.losses.read()
        self.clock.count(0)

    @contextmanager
    def _stopped_while_waiting(self, stop: StopRequest) -> Iterator[None]:
        """Save and leave where the request to stop came while no batch did."""
        try:
            yield
        except StopWaiting:
            self._leave_if_asked(stop)
            raise

    def _finish_epoch(self, pace: Pace) -> None:
        """Judge the epoch, keep what is best, write everything down and turn to the next one."""
        self._require_finite()
        result = self._evaluate()
        is_best = self._keep_if_best(result)
        row: Row = {
            "epoch": self.epoch + 1,
            "step": self.learner.step,
            "lr": self.learner.schedule.at(self._last_iteration).lr,
            **self.losses.means(),
            "images_per_second": self.clock.epoch_speed,
            "seconds": self.clock.epoch_seconds,
            **result_columns(result),
        }
        self.history.append(row)
        written = self.history.rows[-1]
        self._events.add(written | self.budgets.end_epoch(self.epoch + 1))
        self.epoch, self.batch = self.epoch + 1, 0
        self.losses.reset()
        self.clock.start_epoch()
        self._save()
        epochs = self.settings.epochs
        remaining_s = 0.0 if self.is_finished else pace.remaining_s(self.epoch, epochs)
        logger.info(epoch_text(written, epochs=epochs, is_best=is_best, remaining_s=remaining_s))
        if self.stopping.should_stop and self.epoch < epochs:
            logger.info("stopping early: no better mAP50-95 for %d epochs", self.stopping.patience)

    def _evaluate(self) -> EvalResult | None:
        done = self.epoch + 1
        is_due = done % self.eval_interval == 0 or done == self.settings.epochs
        if self.evaluate is None or not is_due:
            return None
        self.ranks.copy_from_main(self.learner.average.model)
        return self.evaluate(self.learner.average.model)

    def _keep_if_best(self, result: EvalResult | None) -> bool:
        """Write best.safetensors if this epoch is it; without validation the last one is."""
        network = self.learner.average.model
        if result is not None:
            return self.best.offer(network, result, self.epoch)
        is_last = self.evaluate is None and self.epoch == self.settings.epochs - 1
        if is_last:
            self.best.keep(network, None, self.epoch)
        return is_last

    def _save_if_due(self) -> None:
        if self.checkpoints.is_due:
            self._save()
            place = f"epoch {self.epoch + 1}, batch {self.batch}/{len(self.batches)}"
            logger.info("checkpoint at %s: %s", place, self._progress_text())

    def _leave_if_asked(self, stop: StopRequest) -> None:
        if self.is_finished or not self.ranks.any(stop.requested):
            return
        self._save()
        raise TrainingStopped(
            f"stopped at epoch {self.epoch + 1}, batch {self.batch}/{len(self.batches)}; "
            f"continue with --resume {self.folder.path}"
        )

    def _save(self) -> None:
        self.losses.read()
        self._require_finite()
        self.checkpoints.save(self.state)
        self.clock.start()

    def _require_finite(self) -> None:
        """Refuse to judge or to save a network that diverged."""
        place = f"epoch {self.epoch + 1}, batch {self.batch}"
        vital = self.learner.vital_tensors()
        require_finite_state(vital, place=place, batch=max(self.batch - 1, 0))

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on.

        Random numbers need no entry: each iteration seeds them from (seed, iteration).
        """
        return {
            "batches_per_epoch": len(self.batches),
            "processes": self.ranks.size,
            "epoch": self.epoch,
            "batch": self.batch,
            "best_result": self.best.result,
            "learner": self.learner.state(),
            "losses": self.losses.state(),
            "budgets": self.budgets.state(),
            "stopping": self.stopping.state(),
            "history": self.history.state(),
            "clock": self.clock.state(),
        }

    def resume(self, source: RunFolder | None = None, *, other_batches: bool = False) -> None:
        """Go to where the newest whole checkpoint in `source`, else `folder`, was written.

        `other_batches` allows epochs of another number of batches: data or batch size were changed
        on purpose. A begun epoch goes on at the same share of it.

        Raises:
            UserError: there is none, or it is of another network or number of batches.
        """
        last = (source or self.folder).last
        restore(last, partial(self._load_state, other_batches=other_batches))
        if self.is_finished:
            logger.info("this training is complete: %d epochs", self.epoch)
        else:
            logger.info("resuming at epoch %d, batch %d", self.epoch + 1, self.batch + 1)

    def _load_state(self, state: dict[str, Any], *, other_batches: bool) -> None:
        old, total = state["batches_per_epoch"], len(self.batches)
        if old != total and not other_batches and state.get("processes", 1) == self.ranks.size:
            raise ValueError(f"it has {old} batches per epoch, now {total}")
        self.epoch, self.batch = state["epoch"], round(state["batch"] * total / old)
        self.best.result = state["best_result"]
        self.learner.load_state(state["learner"])
        self.losses.load_state(state["losses"])
        self.budgets.load_state(state["budgets"])
        self.stopping.load_state(state["stopping"])
        self.history.load_state(state["history"])
        self.clock.load_state(state["clock"])

    @property
    def _last_iteration(self) -> int:
        """The last iteration of this epoch."""
        return (self.epoch + 1) * len(self.batches) - 1

    def _progress_text(self) -> str:
        lr = self.learner.schedule.at(self.epoch * len(self.batches) + self.batch - 1).lr
        return batch_text(self.losses.means(), lr=lr, speed=self.clock.epoch_speed)

    def _summary(self) -> TrainingSummary:
        best = self.stopping.best_epoch
        return TrainingSummary(
            epochs=self.epoch,
            steps=self.learner.step,
            images_per_second=self.clock.speed,
            seconds=self.clock.total_seconds,
            best_epoch=None if best is None else best + 1,
            best_result=self.best.result,
            batches_left_out=self.learner.guard.left_out,
        )
