"""`Hook`: four points of a training run at which other code is called."""

from typing import Protocol

from utils.engine.run import Run
from utils.structures.loss_terms import LossTerms


class Hook(Protocol):
    """Observes a training run, logs it, saves from it, or ends it; changes no result of it.

    Derive from it and write the methods that are needed; the others do nothing. With a method
    `state()` that returns numbers, texts, tensors, lists and dicts of them, and `load_state(state)`
    that takes them back, a hook's memory is part of every checkpoint. Of several processes only the
    first one has hooks.
    """

    def before_training(self, run: Run) -> None:
        """Called before the first batch; a resumed run is where it was saved.

        If the initial weights were evaluated, `run.metrics` has the results, as epoch 0.
        """
        return

    def after_step(self, run: Run, losses: LossTerms) -> None:
        """Called after a batch, unless it was skipped (`train.non_finite`).

        The batches of one optimizer step come one by one; `run.step` counts steps. The terms in
        `losses` may be on a device: reading one waits for it. Do not keep them.
        """
        return

    def after_epoch(self, run: Run) -> None:
        """Called after an epoch and its evaluation; `run.metrics` has the results."""
        return

    def after_training(self, run: Run) -> None:
        """Called at the end, or when training was interrupted or failed (`is_finished`)."""
        return
