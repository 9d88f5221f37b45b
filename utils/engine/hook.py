"""`Hook`: four moments of a training in which others may look at it."""

from typing import Protocol

from utils.engine.run import Run
from utils.structures.loss_terms import LossTerms


class Hook(Protocol):
    """Looks at a training, logs it, saves from it, or ends it; changes no number of it.

    Derive from it and write the methods that are needed; the others do nothing. With a method
    `state()` that returns numbers, texts, tensors, lists and dicts of them, and `load_state(state)`
    that takes them back, a hook's memory is part of every checkpoint. Of several processes only the
    first one has hooks.
    """

    def before_training(self, run: Run) -> None:
        """Look at the training before its first batch; a resumed one is where it was saved.

        Where the start was evaluated, `run.metrics` has the numbers, as those of epoch 0.
        """
        return

    def after_step(self, run: Run, losses: LossTerms) -> None:
        """Look at the training after a batch, unless it was left out (`train.non_finite`).

        The batches of one optimizer step come one by one; `run.step` counts steps. The terms in
        `losses` may lie on a device: to read one waits for it. Do not keep them.
        """
        return

    def after_epoch(self, run: Run) -> None:
        """Look at the training after an epoch and its evaluation, `run.metrics` has the numbers."""
        return

    def after_training(self, run: Run) -> None:
        """Look at the training at its end, or when it was interrupted or failed (`is_finished`)."""
        return
