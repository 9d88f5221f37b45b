"""The training loop, from the first batch to the last, across interruptions.

What happens within a batch, `backward()` included, is in `learner.py`; evaluation is passed as a
function, and logging and saving are hooks (`hooks/`).
"""

import logging
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from utils.checkpoint.state import save_state
from utils.engine.diagnosis import Explanation, explain_stop
from utils.engine.hook import Hook, HookCalls
from utils.engine.learner import Learner, too_little_memory
from utils.engine.loss_log import LossLog, NotFiniteError, require_finite_state
from utils.engine.protocols import BatchSource, Evaluate, Evidence
from utils.engine.restore import in_todays_form, restore
from utils.engine.run import Best, Run, TrainingStopped, TrainingSummary
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.interrupt import StopRequest, StopWaiting
from utils.runtime.machine.memory import is_out_of_memory
from utils.runtime.machine.thread_trials import FixedThreads
from utils.structures.batch import Batch
from utils.structures.metrics_columns import FROM_EVALUATION, VALIDATION
from utils.structures.results import EvalResult

logger = logging.getLogger(__name__)


@dataclass(kw_only=True, eq=False)
class Trainer:
    """Trains `learner` on `batches` and calls `hooks`; checkpoints are in `folder.last`.

    `evaluate` gets the running average of the weights every `eval_interval` epochs and after the
    last; `evidence` shows what it found. `finish` writes the results of a training that came to its
    end, before hooks are called for the last time. Each of `ranks` has batches of its own and all
    the rest in common; only the first one has hooks and writes states. Epochs and batches count
    from 0 inside and from 1 in everything a person reads.
    """

    learner: Learner
    batches: BatchSource
    evaluate: Evaluate | None
    folder: RunFolder
    hooks: Sequence[Hook] = ()
    eval_interval: int = 1
    evaluates_start: bool = False
    """Evaluate the weights that a new training starts from, as epoch 0; it changes no number of the
    training and is never the best epoch."""
    observe: Callable[[Batch, int], None] | None = None
    """Gets each batch before it is trained on, and its iteration, from 0 over the whole run."""
    ranks: Ranks = ALONE
    threads: FixedThreads = field(default_factory=FixedThreads)
    evidence: Evidence | None = None
    finish: Callable[[TrainingSummary], None] | None = None

    def __post_init__(self) -> None:
        total = len(self.batches)
        self.learner.guard.explain = Explanation(self.learner, self.folder, total)
        self.current = Run(
            settings=self.learner.settings,
            folder=self.folder,
            learner=self.learner,
            losses=LossLog(self.learner.device),
            batches_per_epoch=total,
            evidence=self.evidence,
        )
        self._calls = HookCalls(self.hooks if self.ranks.is_main else ())

    def run(self) -> TrainingSummary:
        """Train to the end, from the start or from the state loaded by `resume`.

        Raises:
            TrainingStopped: SIGINT or SIGTERM came; `resume` continues exactly there.
            NotFiniteError: the training diverged.
            UserError: a file cannot be written, a hook failed, or the device has too little memory.
        """
        run = self.current
        try:
            if self.evaluates_start:
                self._evaluate_start()
            # Several processes stop at the same batch, so one that waits cannot leave alone.
            asked = StopRequest(while_waiting=self.ranks.size == 1)
            is_resumed = run.epochs_done or run.batch
            with self._calls.around(run, self._resumable if is_resumed else ""):
                with asked as interrupt, self._left_while_waiting():
                    self._train_epochs(interrupt)
                if self.finish is not None:
                    self.finish(self._summary())
        except NotFiniteError as error:
            place = run.epochs_done, run.batch if error.batch is None else error.batch
            raise explain_stop(error, self.learner, self.batches, self.folder, place) from error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise too_little_memory(self.learner.device, run.settings) from error
        return self._summary()

    def _train_epochs(self, interrupt: StopRequest) -> None:
        """Train and evaluate all epochs that are left."""
        run = self.current
        self._agree_to_stop()
        if run.is_finished:
            logger.info(
                "this training is complete: %d %s",
                run.epochs_done,
                "epoch" if run.epochs_done == 1 else "epochs",
            )
        while not run.is_finished:
            self._train_epoch(interrupt)
            self._finish_epoch(interrupt)
        if self.evaluate is not None and run.best is None:
            self._evaluate()  # it was stopped before the first evaluation

    def _train_epoch(self, interrupt: StopRequest) -> None:
        """Train the rest of the epoch, from batch number `batch` on."""
        run, total = self.current, len(self.batches)
        source = self.batches.epoch(run.epochs_done, start=run.batch) if run.batch < total else ()
        self.learner.model.train()
        self.learner.begin_epoch(run.epochs_done)
        run.clock.start()
        for batch in source:
            self.ranks.at(f"epoch {run.epochs_done + 1}, batch {run.batch + 1}/{total}")
            iteration = run.epochs_done * total + run.batch
            if self.observe is not None:
                self.observe(batch, iteration)
            with self.threads.batch(batch.images.numel()):
                losses = self.learner.learn(batch, iteration)
            run.batch += 1
            run.clock.count(len(batch) * self.ranks.size)
            if losses is not None:
                run.losses.add(losses, epoch=run.epochs_done + 1, batch=run.batch)
                self._calls.after_step(run, losses)
            del losses  # see `Gradients`: nothing may occupy the memory of the next batch
            self._after_hooks()
            if self._ends_early(interrupt):
                break
        if run.batch != total and run.stop_reason is None:
            raise RuntimeError(f"{total} batches were announced but {run.batch} came")
        if run.epochs_done == run.settings.epochs - 1:
            self.learner.finish(self._last_iteration)
        run.losses.read()
        run.clock.count(0)

    @contextmanager
    def _left_while_waiting(self) -> Iterator[None]:
        """Save and stop where the request came while waiting for a batch."""
        try:
            yield
        except StopWaiting:
            self._leave()
            raise

    def _finish_epoch(self, interrupt: StopRequest) -> None:
        """Evaluate the epoch, call the hooks and go to the next one."""
        run, epoch = self.current, self.current.epochs_done + 1
        self._require_finite()
        run.is_best = False
        is_due = epoch % self.eval_interval == 0 or run.is_last_epoch
        result = self._evaluate() if is_due else None
        run.metrics = {
            "epoch": epoch,
            "step": self.learner.step,
            "lr": self.learner.schedule.at(self._last_iteration).lr,
            **run.losses.means(),
            "images_per_second": run.clock.epoch_speed,
            "seconds": run.clock.epoch_seconds,
            **_result_columns(result),
        }
        self._calls.after_epoch(run)
        self._agree_to_stop()
        run.begin_epoch()
        self._after_hooks()
        if run.stop_reason is not None and epoch < run.settings.epochs:
            logger.info("stopping early: %s", run.stop_reason)
        elif not run.is_finished and self.ranks.any(interrupt.requested):
            self._leave()

    def _evaluate_start(self) -> None:
        """Evaluate the initial weights; hooks get the result in `before_training`."""
        run, result = self.current, self._evaluated()
        if result is not None:
            run.metrics = {"epoch": 0, "step": 0, **_result_columns(result)}

    def _evaluated(self) -> EvalResult | None:
        """Evaluate the EMA of the weights, if there is validation data."""
        if self.evaluate is None:
            return None
        self.ranks.copy_from_main(self.learner.average.model)
        self.current.result = self.evaluate(self.learner.average.model)
        return self.current.result

    def _evaluate(self) -> EvalResult | None:
        """Evaluate the EMA of the weights, and record it if it is the best."""
        run, result = self.current, self._evaluated()
        if result is None:
            return None
        # Where there is nothing to be found no epoch is better than another: the last one is kept.
        is_better = run.best is None or result.map50_95 > run.best.score
        run.is_best = is_better or not result.is_defined
        if run.is_best:
            run.best = Best(epoch=run.epoch, score=result.map50_95, result=result.to_json())
        return result

    def _after_hooks(self) -> None:
        """Save if hooks requested it; the state is saved before an error of a hook is raised."""
        failure = self._calls.failure
        if self.current.wants_checkpoint or failure is not None:
            self._save()
        self._calls.raise_failure(self._resumable)

    @property
    def _resumable(self) -> str:
        return f"; the state is saved, continue with --resume {self.folder.path}"

    def _ends_early(self, interrupt: StopRequest) -> bool:
        """Tell whether a hook of the first process ends the epoch; stop if a signal came."""
        run = self.current
        if not self.ranks.any(interrupt.requested or run.stop_reason is not None):
            return False
        self._agree_to_stop()
        if run.stop_reason is None:
            self._leave()
        return True

    def _agree_to_stop(self) -> None:
        self.current.stop_reason = self.ranks.from_main(self.current.stop_reason)

    def _leave(self) -> None:
        self._save()
        raise TrainingStopped(
            f"stopped at {self.current.place}; continue with --resume {self.folder.path}"
        )

    def _save(self) -> None:
        run = self.current
        run.wants_checkpoint = False
        run.losses.read()
        self._require_finite()
        if self.ranks.is_main:
            save_state(self.folder.last, self.state())
        run.clock.start()

    def _require_finite(self) -> None:
        """Raise NotFiniteError before a diverged network is evaluated or saved."""
        run = self.current
        place = f"epoch {run.epochs_done + 1}, batch {run.batch}"
        vital = self.learner.vital_tensors()
        require_finite_state(vital, place=place, batch=max(run.batch - 1, 0))

    def state(self) -> dict[str, Any]:
        """Return all that the rest of the training depends on.

        Random numbers need no entry: each iteration seeds them from (seed, iteration).
        """
        return {
            "batches_per_epoch": len(self.batches),
            "processes": self.ranks.size,
            **self.current.state(),
            "learner": self.learner.state(),
            "hooks": self._calls.state(),
        }

    def resume(self, source: RunFolder | None = None, *, other_batches: bool = False) -> None:
        """Resume from the newest complete checkpoint in `source`, else `folder`.

        `other_batches` allows another number of batches per epoch: data or batch size were changed
        on purpose. An epoch in progress continues at the same fraction.

        Raises:
            UserError: there is none, or it is of another network or number of batches.
        """
        self.evaluates_start = False
        last = (source or self.folder).last
        restore(last, partial(self._load_state, other_batches=other_batches))
        run = self.current
        if not run.is_finished:
            logger.info("resuming at epoch %d, batch %d", run.epochs_done + 1, run.batch + 1)

    def _load_state(self, state: dict[str, Any], *, other_batches: bool) -> None:
        state = in_todays_form(state)
        old, total = state["batches_per_epoch"], len(self.batches)
        if old != total and not other_batches and state.get("processes", 1) == self.ranks.size:
            raise ValueError(f"it has {old} batches per epoch, now {total}")
        self.learner.load_state(state["learner"])
        self.current.load_state(state, batches=old)
        self._calls.load_state(state["hooks"])

    @property
    def _last_iteration(self) -> int:
        """The last iteration of this epoch."""
        return (self.current.epochs_done + 1) * len(self.batches) - 1

    def _summary(self) -> TrainingSummary:
        run = self.current
        return TrainingSummary(
            epochs=run.epochs_done,
            steps=self.learner.step,
            images_per_second=run.clock.speed,
            seconds=run.clock.total_seconds,
            best_epoch=run.best.epoch if run.best else None,
            best_result=run.best.result if run.best else None,
            batches_left_out=self.learner.guard.left_out,
        )


def _result_columns(result: EvalResult | None) -> dict[str, float | None]:
    """Return the columns of metrics.csv that come from an evaluation, empty ones without it and
    where a number is not finite.
    """
    if result is None:
        return dict.fromkeys(FROM_EVALUATION)
    losses = {
        f"{VALIDATION}{name}": value if math.isfinite(value) else None
        for name, value in result.losses.items()
    }
    best = result.operating_points.get("best_f1", {}) if result.is_defined else {}
    numbers = result.to_json()
    values = (
        *(numbers[name] for name in ("map50_95", "map50", "map75")),
        best.get("precision"),
        best.get("recall"),
    )
    return {**losses, **dict(zip(FROM_EVALUATION, values, strict=True))}
