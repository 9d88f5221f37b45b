"""Means over seeds of what trainings wrote about their loss."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.utils.comparison.stored_runs import write_budget, write_comparison
from utils.comparison.runs.run_record import RunRecord, read_run
from utils.comparison.summary.budget_course import budget_by_epoch, course


def branch(positives: float, negatives: float, score_bin: int) -> dict[str, Any]:
    """All gradient of a side in its first bin of difficulty, all elements in one bin of score."""
    gradient = {"positives": positives, "negatives": negatives}
    counts = [8.0 if k == score_bin else 0.0 for k in range(20)]
    return {
        "by_difficulty": {s: {"gradient": [g] + [0.0] * 9} for s, g in gradient.items()},
        "scores": {s: counts for s in gradient},
        "cumulative_loss": {"positives": [0.0, 0.5, 1.0], "negatives": None},
    }


def budget(*branches: dict[str, Any]) -> dict[str, Any]:
    return {
        "epochs": [
            {"epoch": number, "branches": {"objectness": one}}
            for number, one in enumerate(branches, start=1)
        ]
    }


def test_gradients_are_shares_of_the_branch_and_means_over_seeds() -> None:
    found = budget_by_epoch([budget(branch(3.0, 1.0, 0)), budget(branch(1.0, 1.0, 0))])
    sides = found["branches"]["objectness"]
    assert sides["positives"]["gradient"] == [[0.625] + [0.0] * 9]
    assert sides["negatives"]["gradient"] == [[0.375] + [0.0] * 9]
    assert sides["positives"]["cumulative_loss"] == [0.0, 0.5, 1.0]
    assert sides["negatives"]["cumulative_loss"] is None


@pytest.mark.parametrize(("score_bin", "hard"), [(0, None), (1, None), (2, 0.125), (19, 0.975)])
def test_hard_negatives_have_a_score_above_a_tenth(score_bin: int, hard: float | None) -> None:
    scores = budget_by_epoch([budget(branch(1.0, 1.0, score_bin))])["scores"]["objectness"]
    assert scores["negatives"] == scores["positives"] == [pytest.approx((score_bin + 0.5) / 20)]
    assert scores["hard_negatives"] == [hard]


def test_a_shorter_training_keeps_its_last_epoch() -> None:
    three = [branch(1.0, 0.0, 0), branch(0.0, 1.0, 0), branch(1.0, 1.0, 0)]
    found = budget_by_epoch([budget(*three), budget(*three[:2])])
    assert len(found["epochs"]) == 2
    gradient = found["branches"]["objectness"]["positives"]["gradient"]
    assert [row[0] for row in gradient] == [1.0, 0.25]


def test_without_measurements_there_is_nothing() -> None:
    assert budget_by_epoch([]) == {}
    assert budget_by_epoch([budget(branch(0.0, 0.0, 0))])["branches"] != {}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = write_comparison(
        tmp_path_factory.mktemp("course"), qualities={"a": 0.5}, seeds=[0], images=3
    )
    place = folder / "runs" / "a" / "seed0"
    write_budget(place, difficulty=0.3)
    return read_run("a", 0, place, network="n")


def test_terms_are_shares_of_their_sum(run: RunRecord) -> None:
    shown = course([run])
    assert shown["epochs"] == [1.0, 2.0, 3.0]
    terms = shown["terms"]
    assert terms["box"] == [0.5, 0.5, 0.5]
    for shares in zip(*terms.values(), strict=True):
        assert sum(shares) == pytest.approx(1.0, abs=2e-4)
    assert shown["hard_negatives"]["objectness"] == [0.1, 0.2, 0.3]


def test_the_shortest_history_ends_the_course(run: RunRecord, tmp_path: Path) -> None:
    short = replace(run, history=run.history[:2], budget_rows=())
    shown = course([run, short])
    assert shown["epochs"] == [1.0, 2.0]
    assert shown["hard_negatives"] == {}
    assert course([replace(run, history=())])["terms"] == {}
