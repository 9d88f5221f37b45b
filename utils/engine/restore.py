"""From a checkpoint on disk back to a training run, be it one of an earlier version."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from utils.checkpoint.state import load_state
from utils.runtime.errors import UserError


def restore(folder: Path, load: Callable[[dict[str, Any]], None]) -> None:
    """Pass the newest complete state in `folder` to `load`.

    Raises:
        UserError: there is none, or `load` cannot use it.
    """
    state = load_state(folder)
    try:
        load(state)
    except (RuntimeError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{folder} is of another training; restore the configuration it was started with "
            f"({error})"
        ) from error


def in_todays_form(state: dict[str, Any]) -> dict[str, Any]:
    """Return the state in today's layout; before 0.2 the state of hooks was kept elsewhere."""
    if "hooks" in state:
        return state
    stopping = state["stopping"]
    best = stopping["best_epoch"]  # counted from 0, as the latest epoch is
    latest = stopping["latest_epoch"]
    return {
        **state,
        "best": None
        if best is None
        else {
            "epoch": best + 1,
            "score": stopping["best_score"],
            "result": state["best_result"],
        },
        "hooks": {
            "BestWeights": {"written": None if best is None else best + 1},
            "EarlyStopping": {"latest_epoch": None if latest is None else latest + 1},
            "CsvHistory": state["history"],
            "LossBudgetLog": state["budgets"],
        },
    }
