"""Checkpoints of earlier versions, in which what hooks remember now lay beside them."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.utils.engine.test_resume import KilledError, dies_before, outcome
from tests.utils.engine.toy import toy_trainer
from utils.checkpoint.state import load_state, save_state
from utils.engine.restore import in_todays_form


def in_the_old_form(state: dict[str, Any]) -> dict[str, Any]:
    """Return what version 0.1 wrote at the same place; its epochs counted from 0."""
    best, hooks = state["best"], state["hooks"]
    latest = hooks["EarlyStopping"]["latest_epoch"]
    old = {key: value for key, value in state.items() if key not in ("best", "hooks")}
    return {
        **old,
        "best_result": best and best["result"],
        "stopping": {
            "best_score": best and best["score"],
            "best_epoch": best and best["epoch"] - 1,
            "latest_epoch": None if latest is None else latest - 1,
        },
        "history": hooks["CsvHistory"],
        "budgets": {"sum": None, "kept": {}, "history": []},
    }


@pytest.mark.slow
@pytest.mark.parametrize("place", [(0, 3), (1, 0), (1, 2), (2, 4)])
@pytest.mark.parametrize("variant", [{}, {"patience": 1, "epochs": 6}, {"evaluate": None}])
def test_a_training_of_an_earlier_version_goes_on_exactly(
    variant: dict[str, Any], place: tuple[int, int], tmp_path: Path
) -> None:
    whole = toy_trainer(tmp_path / "whole", **variant)
    whole.run()
    path = tmp_path / "old"
    with suppress(KilledError):
        toy_trainer(path, batches=dies_before(place), checkpoint_minutes=1e-9, **variant).run()
    state = load_state(path / "last")
    old = in_the_old_form(state)
    assert in_todays_form(state) is state
    save_state(path / "last", old)
    resumed = toy_trainer(path, seed=7, **variant)
    resumed.resume()
    resumed.run()
    assert outcome(path, resumed) == outcome(tmp_path / "whole", whole)
