"""The loss budget of a run: measured at intervals, summed by epoch, saved after each one."""

from collections.abc import Callable
from typing import Any

from utils.engine.history import History, Row
from utils.engine.hook import Hook
from utils.engine.run import Run
from utils.runtime.files.atomic import write_json
from utils.runtime.files.run_folder import RunFolder
from utils.structures.batch import Targets
from utils.structures.budget import GROUPS, LossBudget

MeasureBudget = Callable[[Any, Targets], LossBudget]
"""Maps the predictions and targets of a batch to its budget, without side effects."""

FORMAT_VERSION = 1


class LossBudgetLog(Hook):
    """Sums the budgets of an epoch's measured batches into budget.csv and budget.json.

    Measured is the first batch of every epoch and from there each `interval`-th. budget.csv has one
    row per epoch: its number; batches measured; of each branch the shares of positives, hard and
    easy negatives (score below 0.1) in loss and gradient; matches per image on each level, best
    possible recall (empty without targets). budget.json holds `LossBudget.to_json` of the first
    epoch, the one after a quarter of the training and the last one so far, under "epochs".

    Args:
        measure: makes the budget of a batch.
        interval: iterations from one measurement to the next, at least 1.
        batches_per_epoch: at least 1.
        epochs: length of the training.
        folder: where the files go.
    """

    def __init__(
        self,
        measure: MeasureBudget,
        *,
        interval: int,
        batches_per_epoch: int,
        epochs: int,
        folder: RunFolder,
    ) -> None:
        self._measure = measure
        self._interval = interval
        self._batches_per_epoch = batches_per_epoch
        self._quarter = max(1, round(epochs / 4))
        self._summary = folder.budget_summary
        self._history = History(folder.budget)
        self._sum: LossBudget | None = None
        self._kept: dict[int, LossBudget] = {}

    def observe(self, predictions: Any, targets: Targets, iteration: int) -> None:
        """Measure a batch if it is due; `iteration` counts from 0 over the whole training."""
        if iteration % self._batches_per_epoch % self._interval == 0:
            budget = self._measure(predictions, targets)
            self._sum = budget if self._sum is None else self._sum + budget

    def after_epoch(self, run: Run) -> None:
        """Write the rows of the epoch, if any batch was measured, and begin the next.

        `run.extras` gets its row of budget.csv by "budget/" and column.
        """
        if self._sum is None:
            return
        epoch, row = run.epoch, budget_row(self._sum)
        self._history.append({"epoch": epoch, **row})
        lasting = {1, self._quarter}
        self._kept = {e: kept for e, kept in self._kept.items() if e in lasting}
        self._kept[epoch] = self._sum
        self._sum = None
        self._write_summary()
        run.extras.update({f"budget/{name}": value for name, value in row.items()})

    def _write_summary(self) -> None:
        epochs = [{"epoch": epoch, **kept.to_json()} for epoch, kept in self._kept.items()]
        write_json(self._summary, {"format_version": FORMAT_VERSION, "epochs": epochs})

    def state(self) -> dict[str, Any]:
        """Return what `load_state` restores."""
        return {
            "sum": None if self._sum is None else self._sum.state(),
            "kept": {epoch: budget.state() for epoch, budget in self._kept.items()},
            "history": list(self._history.state()),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore from a checkpoint; later rows are removed from the files."""
        self._sum = None if state["sum"] is None else LossBudget.from_state(state["sum"])
        self._kept = {epoch: LossBudget.from_state(kept) for epoch, kept in state["kept"].items()}
        self._history.load_state(state["history"])
        if self._kept:
            self._write_summary()
        else:
            self._summary.unlink(missing_ok=True)


def budget_row(budget: LossBudget) -> Row:
    """Return the columns of budget.csv but the epoch."""
    row: Row = {"batches": budget.batches}
    for name, branch in budget.branches.items():
        loss_and_gradient = branch.shares().T.tolist()
        for summed, shares in zip(("loss", "gradient"), loss_and_gradient, strict=True):
            for group, share in zip(GROUPS, shares, strict=True):
                row[f"{name}_{summed}_{group}"] = share
    for stride, matches in zip(budget.strides, budget.matches_per_image(), strict=True):
        row[f"matches_stride_{stride}"] = matches
    row["best_possible_recall"] = budget.best_possible_recall
    return row
