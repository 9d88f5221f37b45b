"""Loss budget over the epochs of a training run; means over seeds.

Measured epochs of budget.json are the first, one after a quarter of the training, and the last.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from utils.comparison.runs.run_record import RunRecord
from utils.metrics.rows import Floats
from utils.structures.metrics_columns import term_columns

SIDES = ("positives", "negatives")
_HARD_NEGATIVES = "_gradient_hard_negatives"
EASY_BINS = 2
"""Bins of the score that contain the easy negatives, those below 0.1."""


def budget_by_epoch(budgets: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Summarise the budgets, one a seed, of the measured epochs.

    Returns:
        epochs: their numbers; branches: by branch and side, `gradient`, one list an epoch: share of
        the branch's gradient by difficulty |score - target|, and `cumulative_loss` of the last
        epoch: share of the side's loss in its easiest elements, None where a side had no
        element; scores: by branch, mean score of positives, negatives and hard negatives in each
        epoch, None without any. Empty without budgets.
    """
    if not budgets:
        return {}
    count = min(len(budget["epochs"]) for budget in budgets)
    measured = [[*budget["epochs"][: count - 1], budget["epochs"][-1]] for budget in budgets]
    names = [
        name
        for name in measured[0][-1]["branches"]
        if all(name in epoch["branches"] for one in measured for epoch in one)
    ]
    branches = {n: [[epoch["branches"][n] for epoch in one] for one in measured] for n in names}
    return {
        "epochs": [epoch["epoch"] for epoch in measured[0]],
        "branches": {
            name: {side: _side(of_seeds, side) for side in SIDES}
            for name, of_seeds in branches.items()
        },
        "scores": {name: _scores(of_seeds) for name, of_seeds in branches.items()},
    }


def course(runs: Sequence[RunRecord]) -> dict[str, Any]:
    """Return, epoch by epoch, the share of each term in the loss, and more.

    Returns:
        epochs: their numbers; terms: share of each term in the sum, gains applied; hard_negatives:
        by branch, their share of its gradient, empty where it was not measured.
    """
    history = _columns([run.history for run in runs])
    terms = term_columns(history)
    total = np.sum([history[name] for name in terms], axis=0) if terms else np.ones(0)
    budget = _columns([run.budget_rows for run in runs])
    return {
        "epochs": history.get("epoch", np.zeros(0)).tolist(),
        "terms": {name: _shares(history[name], total) for name in terms},
        "hard_negatives": {
            branch: _rounded(budget[column])
            for column in budget
            if (branch := column.removesuffix(_HARD_NEGATIVES)) != column
        },
    }


def _side(of_seeds: Sequence[Sequence[Mapping[str, Any]]], side: str) -> dict[str, Any]:
    curves = [branches[-1]["cumulative_loss"][side] for branches in of_seeds]
    known = [curve for curve in curves if curve is not None]
    gradients = [[_gradient_shares(branch, side) for branch in branches] for branches in of_seeds]
    return {
        "gradient": [_rounded(row) for row in np.mean(gradients, axis=0)],
        "cumulative_loss": _rounded(np.mean(known, axis=0)) if known else None,
    }


def _gradient_shares(branch: Mapping[str, Any], side: str) -> Floats:
    sums = {one: np.array(branch["by_difficulty"][one]["gradient"]) for one in SIDES}
    return np.asarray(sums[side] / (sum(one.sum() for one in sums.values()) or 1.0))


def _scores(of_seeds: Sequence[Sequence[Mapping[str, Any]]]) -> dict[str, list[float | None]]:
    """Return mean scores; known are counts in 20 bins of the score, so the bins' middles count."""
    groups = {"positives": ("positives", 0), "negatives": ("negatives", 0)}
    groups["hard_negatives"] = ("negatives", EASY_BINS)
    return {
        name: [
            _mean_score([np.array(branch["scores"][side], float) for branch in epoch], first)
            for epoch in zip(*of_seeds, strict=True)
        ]
        for name, (side, first) in groups.items()
    }


def _mean_score(counts: Sequence[Floats], first: int) -> float | None:
    total = np.sum(counts, axis=0)
    middles = (np.arange(len(total)) + 0.5) / len(total)
    number = total[first:].sum()
    return round(float((total * middles)[first:].sum() / number), 4) if number else None


def _columns(tables: Sequence[Sequence[Mapping[str, float | None]]]) -> dict[str, Floats]:
    """Return the means over seeds of the columns that are filled in all rows."""
    length = min((len(table) for table in tables), default=0)
    if not length:
        return {}
    return {
        name: np.mean([[row[name] or 0.0 for row in t[:length]] for t in tables], axis=0)
        for name in tables[0][0]
        if all(row.get(name) is not None for table in tables for row in table[:length])
    }


def _shares(values: Floats, total: Floats) -> list[float]:
    return _rounded(values / np.where(total > 0, total, 1.0))


def _rounded(values: Floats) -> list[float]:
    return [round(float(value), 4) for value in values]
