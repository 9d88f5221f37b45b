"""Tuning without training: trials whose result is written down instead of learned."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from commands.compare import run as comparison
from commands.compare.cli import TuneExperiment, parse_compare_command
from commands.compare.forecast import trials_at_once
from commands.compare.run import compare
from commands.compare.tuning import chosen_settings, trial_folders
from commands.compare.way import Settled
from configs.errors import ConfigError
from configs.reading.design import LoadedDesign, load_design
from configs.reading.load import load_experiment
from tests.configs.conftest import DATA, GRAPH
from tests.utils.comparison.detection_problem import random_rows
from utils.comparison.runs import arm_search
from utils.comparison.runs.plan import PlannedRun
from utils.comparison.runs.stored_evaluation import JudgedSplit, write_judged
from utils.runtime.errors import UserError

DESIGN = """\
experiment: experiment.yaml
settings: {train.epochs: 9}
arms:
  bce: {}
  focal: {loss.objectness: {name: focal, gamma: 1.5, alpha: null}}
baseline: bce
seeds: [0, 1]
folder: {folder}
tuning:
  trials: 4
  sampler: {sampler}
  seeds: [8, 9]
  space:
    all: {loss.objectness.gain: {low: 0.5, high: 2.0}}
    focal: {loss.objectness.gamma: {low: 0.0, high: 4.0}}
"""
LISTED = """\
tuning:
  seeds: [8, 9]
  trials:
    bce: [{loss.objectness.gain: 0.7}, {loss.objectness.gain: 1.1}]
    focal: [{loss.objectness.gamma: 1}, {loss.objectness.gamma: 3}]
"""
GAIN, GAMMA = "loss.objectness.gain", "loss.objectness.gamma"
KINDS = ("random", "tpe", "listed")


@pytest.fixture
def design(tmp_path: Path) -> Callable[[str], LoadedDesign]:
    (tmp_path / "graph.yaml").write_text(GRAPH)
    (tmp_path / "images_here").mkdir()
    (tmp_path / "data.yaml").write_text(DATA)
    (tmp_path / "experiment.yaml").write_text("data: data.yaml\nmodel: {graph: graph.yaml}\n")

    def _design(kind: str = "random") -> LoadedDesign:
        text = DESIGN.replace("{sampler}", kind).replace("{folder}", str(tmp_path))
        if kind == "listed":
            text = text[: text.index("tuning:")] + LISTED
        (tmp_path / "design.yaml").write_text(text)
        return load_design(tmp_path / "design.yaml")

    return _design


def distance(gain: float, gamma: float) -> float:
    """Return how far from the best settings these are."""
    return abs(gain - 1.0) + abs(gamma - 3.0)


class FakeEngine:
    """Finishes runs with a result that follows from their settings; may die on the way."""

    def __init__(self, dies_after: int | None = None, failing: Sequence[str] = ()) -> None:
        self.rounds: list[list[str]] = []
        self.done: list[str] = []
        self._dies_after = dies_after
        self._failing = failing

    def __call__(self, runs: Sequence[PlannedRun]) -> None:
        self.rounds.append([run.key for run in runs])
        for run in (run for run in runs if not run.is_done and run.key not in self._failing):
            if len(self.done) == self._dies_after:
                raise KeyboardInterrupt
            self.done.append(run.key)
            self._finish(run)

    def _finish(self, run: PlannedRun) -> None:
        stated = dict(text.split("=", 1) for text in run.overrides)
        assert stated["train.epochs"] == "3"
        assert stated["cut"] == "1"
        reached = 0.5 - 0.1 * distance(float(stated.get(GAIN, 1)), float(stated.get(GAMMA, 3)))
        run.folder.mkdir(parents=True)
        truths, found = random_rows(images=2, classes=2)
        for split in ("val", "test"):
            result = {"map50_95": reached + 0.01 * (run.seed - 8.5) if split == "val" else 0.0}
            judged = JudgedSplit(
                truths=truths,
                detections=found,
                paths=("a", "b"),
                class_names=("c", "d"),
                result=result,
            )
            write_judged(run.folder, split, judged)


def tuned(design: LoadedDesign, folder: Path, engine: FakeEngine) -> tuple[dict[str, Any], str]:
    folder.mkdir(exist_ok=True)
    chosen = chosen_settings(design, folder, ("cut=1",), engine)
    return chosen, (folder / "tuning.json").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_trial_of_each_arm_is_chosen_on_validation(
    tmp_path: Path, design: Callable[[str], LoadedDesign], kind: str
) -> None:
    engine = FakeEngine()
    chosen, text = tuned(design(kind), tmp_path / "x", engine)
    log = json.loads(text)
    assert list(log) == ["bce", "focal"]
    for arm, entry in log.items():
        assert set(entry) == {"trials", "best", "best_of"}
        assert set(entry["trials"][0]) == {"settings", "map50_95", "focal"}
        scores = [trial["map50_95"] for trial in entry["trials"]]
        assert entry["best"] == int(np.argmax(scores))
        assert entry["best_of"] == pytest.approx(
            [np.mean(scores), *entry["best_of"][1:-1], max(scores)]
        )
        assert chosen[arm] == entry["trials"][entry["best"]]["settings"]
        far = distance(chosen[arm].get(GAIN, 1), chosen[arm].get(GAMMA, 3))
        assert max(scores) == pytest.approx(50 - 10 * far)
    counts = {arm: len(entry["trials"]) for arm, entry in log.items()}
    assert counts == dict.fromkeys(log, 2 if kind == "listed" else 4)
    assert sorted(engine.done) == sorted(key for keys in engine.rounds for key in keys)


@pytest.mark.slow
def test_random_trials_run_together_and_those_of_tpe_in_turn(
    tmp_path: Path, design: Callable[[str], LoadedDesign]
) -> None:
    engines = {kind: FakeEngine() for kind in ("random", "tpe")}
    for kind, engine in engines.items():
        tuned(design(kind), tmp_path / kind, engine)
        told = (tmp_path / kind / "trials.journal").read_text().count('"op_code":6,')
        assert told == 8, "what a trial reached is what tpe learns from"
    assert [len(keys) for keys in engines["random"].rounds] == [16]
    assert [len(keys) for keys in engines["tpe"].rounds] == [4, 4, 4, 4]
    assert engines["tpe"].rounds[1] == [
        f"{arm}-trial1-seed{seed}" for arm in ("bce", "focal") for seed in (8, 9)
    ]
    settings = {kind: design(kind).settings for kind in KINDS}
    assert {kind: trials_at_once(one, 10) for kind, one in settings.items()} == {
        "random": 10,
        "tpe": 4,
        "listed": 10,
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_stopped_anywhere_it_ends_as_if_nothing_had_happened(
    tmp_path: Path, design: Callable[[str], LoadedDesign], kind: str
) -> None:
    loaded, engine = design(kind), FakeEngine()
    whole = tuned(loaded, tmp_path / "whole", engine)
    total = len(engine.done)
    for moment in range(0, total, 5):
        folder = tmp_path / f"broken{moment}"
        first, second = FakeEngine(dies_after=moment), FakeEngine()
        with pytest.raises(KeyboardInterrupt):
            tuned(loaded, folder, first)
        assert tuned(loaded, folder, second) == whole
        assert sorted(first.done + second.done) == sorted(engine.done)
    third = FakeEngine()
    assert tuned(loaded, tmp_path / "whole", third) == whole
    assert third.done == []


@pytest.mark.parametrize("kind", ["random", "tpe"])
def test_a_trial_that_fails_costs_no_other_and_gets_another_chance(
    tmp_path: Path, design: Callable[[str], LoadedDesign], kind: str
) -> None:
    loaded = design(kind)
    _, text = tuned(loaded, tmp_path / "x", FakeEngine(failing=("focal-trial3-seed9",)))
    entry = json.loads(text)["focal"]
    assert [trial["map50_95"] is None for trial in entry["trials"]] == [False, False, False, True]
    assert len(entry["best_of"]) == 3
    again = FakeEngine()
    _, text = tuned(loaded, tmp_path / "x", again)
    assert again.done == ["focal-trial3-seed9"]
    trials = json.loads(text)["focal"]["trials"]
    assert None not in [trial["map50_95"] for trial in trials]
    assert [t["settings"] for t in trials] == [t["settings"] for t in entry["trials"]]


def test_an_arm_without_any_finished_trial_is_an_error(
    tmp_path: Path, design: Callable[[str], LoadedDesign]
) -> None:
    failing = [f"bce-trial{number}-seed8" for number in range(4)]
    with pytest.raises(UserError, match="no trial of arm bce finished"):
        tuned(design("random"), tmp_path / "x", FakeEngine(failing=failing))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "count"), [("random", 16), ("tpe", 16), ("listed", 8)])
def test_trainings_are_counted_before_anything_is_drawn(
    tmp_path: Path, design: Callable[[str], LoadedDesign], kind: str, count: int
) -> None:
    loaded, engine = design(kind), FakeEngine()
    folders = trial_folders(loaded, tmp_path / "x")
    assert len(set(folders)) == count
    assert not (tmp_path / "x").exists()
    tuned(loaded, tmp_path / "x", engine)
    assert len(engine.done) == count
    assert all((folder / "judged/test.json").is_file() for folder in folders)


def test_without_the_library_nothing_is_begun(
    design: Callable[[str], LoadedDesign], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arm_search, "find_spec", lambda name: None)
    before = sorted(tmp_path.iterdir())
    loaded = design("random")
    with pytest.raises(UserError, match="pip install optuna"):
        compare(loaded)
    assert sorted(tmp_path.iterdir()) == sorted([*before, tmp_path / "design.yaml"])


ALONE = """\
experiment: experiment.yaml
settings: {train.epochs: 9, train.seed: 5}
folder: {folder}
tuning:
  trials: 5
  seeds: [8, 9]
  space:
    all:
      loss.objectness.gain: {low: 0.5, high: 2.0}
      loss.box.name: {choices: [ciou, giou]}
"""


@pytest.mark.parametrize("arms", ["", "arms: {mine: {augment.mosaic: 0.5}}\n"])
def test_one_experiment_is_tuned_and_its_best_is_an_experiment(
    design: Callable[[str], LoadedDesign],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arms: str,
) -> None:
    pytest.importorskip("optuna")
    design("random")  # writes what a design refers to
    path = tmp_path / "alone.yaml"
    path.write_text(ALONE.replace("{folder}", str(tmp_path)) + arms)
    engine = FakeEngine()
    monkeypatch.setattr(comparison, "cut_test_split", lambda *_: ("cut=1",))
    monkeypatch.setattr(comparison, "settle_way", lambda *_, **__: Settled(jobs=1))
    monkeypatch.setattr(comparison, "carry_out", lambda design, folder, runs, way: engine(runs))
    loaded = load_design(path, is_search=True)
    best = comparison.tune(loaded)
    tuning = json.loads((best.parent / "tuning.json").read_text())
    (entry,) = tuning.values()
    chosen = entry["trials"][entry["best"]]
    assert chosen["map50_95"] == max(trial["map50_95"] for trial in entry["trials"])
    experiment = load_experiment(best).experiment
    assert experiment.loss.objectness.gain == chosen["settings"][GAIN]  # type: ignore[union-attr]
    assert experiment.loss.box.name == chosen["settings"]["loss.box.name"]
    assert (experiment.train.epochs, experiment.train.seed) == (9, 5)
    assert experiment.augment.mosaic == (0.5 if arms else 1.0)
    assert len(engine.done) == 10
    assert comparison.tune(loaded) == best
    assert len(engine.done) == 10  # everything was there


def test_what_tunes_nothing_is_refused(
    design: Callable[[str], LoadedDesign], tmp_path: Path
) -> None:
    design("random")
    path = tmp_path / "alone.yaml"
    path.write_text(ALONE.replace("{folder}", str(tmp_path)))
    one = ["arms={a: {}}", "baseline=a"]
    with pytest.raises(ConfigError, match=r"needs two arms .* compare\.py tune --cfg"):
        load_design(path, one)
    with pytest.raises(ConfigError, match=r"needs two arms .* compare\.py tune --cfg"):
        load_design(path)
    with pytest.raises(ConfigError, match="takes one arm, not 2"):
        load_design(path, ["arms={a: {}, b: {}}", "baseline=a"], is_search=True)
    with pytest.raises(ConfigError, match="nothing to search"):
        load_design(path, ["tuning=null"], is_search=True)
    command = parse_compare_command(["tune", "--cfg", str(path), "tuning.trials=3"])
    assert command == TuneExperiment(path, ("tuning.trials=3",))
