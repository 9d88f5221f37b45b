"""Trials drawn with Optuna for a fake objective: the same after any kill, and worth drawing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from configs.schema.tuning import SearchedTrials
from utils.comparison.runs import arm_search
from utils.comparison.runs.arm_search import ArmSearch, require_optuna
from utils.runtime.errors import UserError

pytest.importorskip("optuna")

FOCAL = {"name": "focal", "gamma": 2.0, "alpha": None}
SPACE = {
    "all": {"loss.box.gain": {"low": 0.01, "high": 1.0, "log": True}},
    "focal": {
        "loss.objectness.gamma": {"low": 0.0, "high": 4.0},
        "train.batch_size": {"low": 2, "high": 8, "step": 2},
        "loss.objectness.alpha": {"choices": [None, 0.25, 0.5]},
    },
}
SAMPLERS = ("random", "tpe")


def tuning(**changes: Any) -> SearchedTrials:
    return SearchedTrials.model_validate({"trials": 8, "space": SPACE, **changes})


def objective(settings: dict[str, Any]) -> float:
    """Best at a gamma of 3 and a gain of 0.1."""
    return -abs(settings.get("loss.objectness.gamma", 3) - 3) - abs(settings["loss.box.gain"] - 0.1)


def search(
    journal: Path,
    settings: SearchedTrials,
    arm: str = "focal",
    reached: Callable[[dict[str, Any]], float | None] = objective,
) -> list[dict[str, Any]]:
    """Draw and tell all trials as a comparison does, from whatever the journal holds."""
    opened = ArmSearch(arm, settings, journal=journal)
    trials = []
    for numbers in settings.rounds:
        drawn = [opened.draw(number) for number in numbers]
        for number, one in zip(numbers, drawn, strict=True):
            opened.tell(number, reached(one))
        trials += drawn
    return trials


def trial_lines(journal: Path) -> list[bytes]:
    """Return what the journal says of trials: one line when drawn, one when told."""
    return [line for line in journal.read_bytes().splitlines() if b'"op_code":0,' not in line]


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_key_takes_what_the_space_allows(tmp_path: Path, sampler: str) -> None:
    trials = search(tmp_path / "journal", tuning(sampler=sampler, trials=40))
    assert all(list(one) == [*SPACE["all"], *SPACE["focal"]] for one in trials)
    gains = [one["loss.box.gain"] for one in trials]
    assert all(0.01 <= gain <= 1 and gain == float(f"{gain:.4g}") for gain in gains)
    assert len(set(gains)) > 30
    assert {one["train.batch_size"] for one in trials} == {2, 4, 6, 8}
    assert all(type(one["train.batch_size"]) is int for one in trials)
    assert {one["loss.objectness.alpha"] for one in trials} == {None, 0.25, 0.5}


def test_a_choice_may_be_a_whole_loss(tmp_path: Path) -> None:
    space = {"all": {"loss.objectness": {"choices": [{"name": "bce"}, FOCAL]}}}
    trials = search(tmp_path / "journal", tuning(space=space), reached=lambda _: 1.0)
    assert all(one["loss.objectness"] in ({"name": "bce"}, FOCAL) for one in trials)
    assert len({one["loss.objectness"]["name"] for one in trials}) == 2


@pytest.mark.slow
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_kill_anywhere_leads_to_the_same_trials(tmp_path: Path, sampler: str) -> None:
    """A journal is cut after every line, which is how a kill leaves it, and gone on with."""
    settings = tuning(sampler=sampler)
    whole = search(tmp_path / "whole", settings)
    lines = (tmp_path / "whole").read_bytes().splitlines(keepends=True)
    assert len(trial_lines(tmp_path / "whole")) == 2 * len(whole) == len(lines) - 1
    for count in range(len(lines) + 1):
        broken = tmp_path / f"broken{count}"
        broken.write_bytes(b"".join(lines[:count]))
        assert search(broken, settings) == whole
        assert len(trial_lines(broken)) == 2 * len(whole)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_is_finished_is_neither_drawn_nor_told_again(tmp_path: Path, sampler: str) -> None:
    settings, journal = tuning(sampler=sampler), tmp_path / "journal"
    whole = search(journal, settings)
    before = trial_lines(journal)
    assert search(journal, settings, reached=lambda _: 99.0) == whole
    assert trial_lines(journal) == before


def test_two_machines_draw_the_same_and_the_first_result_counts(tmp_path: Path) -> None:
    settings = tuning(sampler="tpe", trials=4)
    whole = search(tmp_path / "whole", settings)
    here, there = (ArmSearch("focal", settings, journal=tmp_path / "shared") for _ in range(2))
    for number, expected in enumerate(whole):
        assert here.draw(number) == there.draw(number) == expected
        here.tell(number, objective(expected))
        there.tell(number, -50.0)
    assert len(trial_lines(tmp_path / "shared")) == 2 * len(whole)


def test_two_machines_that_draw_in_the_same_moment_make_one_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tuning(sampler="tpe", trials=4)
    whole = search(tmp_path / "whole", settings)
    here, there = (ArmSearch("focal", settings, journal=tmp_path / "shared") for _ in range(2))
    drawn = here._drawn

    def late(number: int) -> dict[str, float]:
        there.draw(number)
        return drawn(number)

    monkeypatch.setattr(here, "_drawn", late)
    for number, expected in enumerate(whole):
        assert here.draw(number) == there.draw(number) == expected
        here.tell(number, objective(expected))


def test_the_seed_decides_and_arms_draw_alike(tmp_path: Path) -> None:
    first = search(tmp_path / "a", tuning())
    assert search(tmp_path / "b", tuning()) == first
    assert search(tmp_path / "c", tuning(search_seed=1)) != first
    other = search(tmp_path / "a", tuning(), arm="bce")
    assert [set(one) for one in other] == [{"loss.box.gain"}] * 8
    gains = [[one["loss.box.gain"] for one in trials] for trials in (first, other)]
    assert gains[0] == gains[1]
    assert len(set(gains[0])) == 8


@pytest.mark.slow
def test_tpe_learns_from_what_was_reached_and_random_does_not(tmp_path: Path) -> None:
    def opposite(settings: dict[str, Any]) -> float:
        return -objective(settings)

    for sampler in SAMPLERS:
        settings = tuning(sampler=sampler, trials=30)
        trials = search(tmp_path / f"{sampler}1", settings)
        others = search(tmp_path / f"{sampler}2", settings, reached=opposite)
        assert trials[:10] == others[:10]
        assert (trials == others) == (sampler == "random")
        gammas = [one["loss.objectness.gamma"] for one in trials]
        near = sum(abs(gamma - 3) < 0.5 for gamma in gammas[10:])
        assert (near >= 10) == (sampler == "tpe"), f"{near} of 20 near the best gamma"


def test_a_failed_trial_is_kept_and_nothing_is_learned_from_it(tmp_path: Path) -> None:
    settings = tuning(sampler="tpe", trials=12)

    def failing(one: dict[str, Any]) -> float | None:
        return None if one["loss.objectness.gamma"] > 2 else objective(one)

    trials = search(tmp_path / "a", settings, reached=failing)
    assert any(failing(one) is None for one in trials[:4])
    assert search(tmp_path / "a", settings, reached=failing) == trials
    assert search(tmp_path / "b", settings, reached=failing) == trials
    praised = search(tmp_path / "c", settings, reached=lambda one: failing(one) or 0.0)
    assert praised[:4] == trials[:4]
    assert praised != trials


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    require_optuna()
    monkeypatch.setattr(arm_search, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install optuna"):
        require_optuna()


def test_a_damaged_journal_is_one_sentence(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    whole = search(journal, tuning())
    journal.write_bytes(b"{torn\n" + journal.read_bytes())
    with pytest.raises(UserError, match=r"journal is damaged .* remove it"):
        ArmSearch("focal", tuning(), journal=journal)
    journal.unlink()
    assert search(journal, tuning()) == whole
