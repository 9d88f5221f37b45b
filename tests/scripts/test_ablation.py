"""The ablation: which runs a design means, how they are started, what its table says."""

import sys
from pathlib import Path

import pytest
import yaml

from configs.reading.load import load_experiment
from scripts import ablation
from scripts.ablation import ROOT, Run, Scores, command, planned, table

DESIGN = ROOT / "configs/ablation/recipe.yaml"


def design() -> dict[str, object]:
    content: dict[str, object] = yaml.safe_load(DESIGN.read_text())
    return content


def stated(run: Run, folder: Path) -> str:
    """Return all that an experiment says: its numbers, and the words for those to be derived."""
    config = str(ROOT / "configs" / run.experiment)
    loaded = load_experiment(config, (*run.settings, f"data.path={folder}"))
    return f"{loaded.experiment} {sorted(loaded.words.items())}"


@pytest.mark.slow
@pytest.mark.parametrize("data", ["bccd", "facemask", "embedded", "bccd from weights"])
def test_every_arm_changes_the_experiment(data: str, tmp_path: Path) -> None:
    """A setting that repeats the recipe's own value would be an arm that measures nothing."""
    experiments = {
        run.arm: stated(run, tmp_path) for run in planned(design(), {data}) if run.seed == 0
    }
    assert len(set(experiments.values())) == len(experiments) > 10


def test_all_arms_of_a_seed_come_first_and_sets_have_their_own_seeds() -> None:
    runs = planned(
        {
            "settings": ["a=1"],
            "sets": {
                "x": {
                    "experiment": "x.yaml",
                    "settings": ["b=2"],
                    "seeds": [0, 1],
                    "words": {"rate": 3},
                },
                "y": {"experiment": "y.yaml", "settings": [], "seeds": [0], "words": {"rate": 4}},
            },
            "arms": {"base": [], "other": ["c=$rate"]},
        },
        set(),
    )
    assert [(run.seed, run.data, run.arm) for run in runs] == [
        (0, "x", "base"), (0, "x", "other"), (0, "y", "base"), (0, "y", "other"),
        (1, "x", "base"), (1, "x", "other"),
    ]  # fmt: skip
    assert runs[1].settings == ("a=1", "b=2", "c=3", "train.seed=0")
    assert runs[3].settings == ("a=1", "c=4", "train.seed=0")


def test_an_interrupted_run_is_resumed(tmp_path: Path) -> None:
    run = Run("x", "no mosaic in the last 40%", 3, "bccd.yaml", ("train.seed=3",))
    folder = tmp_path / "x" / "no-mosaic-in-the-last-40" / "seed3"
    place = [f"run.folder={folder.parent}", "run.name=seed3"]
    assert command(run, tmp_path)[2:] == ["--cfg", "configs/bccd.yaml", "train.seed=3", *place]
    (folder / "last").mkdir(parents=True)
    assert command(run, tmp_path)[2:] == ["--resume", str(folder)]
    assert run.score(tmp_path) is None
    (folder / "results.json").write_text('{"map50_95": 0.25}')
    assert run.score(tmp_path) == 0.25


def test_scores_outlive_the_runs(tmp_path: Path) -> None:
    runs = [Run("x", arm, seed, "", ()) for seed in (0, 1) for arm in ("base", "a, b")]
    here, there, file = tmp_path / "here", tmp_path / "there", tmp_path / "new" / "scores.csv"
    for out, run, score in ((here, runs[3], 0.5), (here, runs[0], 0.25), (there, runs[1], 0.125)):
        run.folder(out).mkdir(parents=True)
        (run.folder(out) / "results.json").write_text(f'{{"map50_95": {score}}}')
    Scores(here, file).write(runs)
    assert file.read_text() == 'data,arm,seed,map50_95\nx,base,0,0.2500\nx,"a, b",1,0.5000\n'
    elsewhere = Scores(there, file)
    assert [elsewhere.of(run) for run in runs] == [0.25, 0.125, None, 0.5]
    elsewhere.write(runs)
    assert [Scores(tmp_path / "nothing", file).of(run) for run in runs] == [0.25, 0.125, None, 0.5]


def test_differences_are_those_of_seeds_that_both_have() -> None:
    runs = [
        Run(data, arm, seed, "", ())
        for data in "xy"
        for arm in ("base", "b", "c")
        for seed in (0, 1)
    ]
    known = {
        ("x", "base", 0): 0.5, ("x", "base", 1): 0.6, ("x", "b", 1): 0.65,
        ("y", "base", 0): 0.1, ("y", "b", 0): 0.13, ("y", "c", 1): 0.9,
    }  # fmt: skip
    lines = list(table(runs, lambda run: known.get((run.data, run.arm, run.seed))))
    assert lines[2:] == [
        "| base | 55.0, 2 seeds | 10.0, 1 seeds |  |",
        "| b | 65.0 (+5.0), 1 seeds | 13.0 (+3.0), 1 seeds | +4.0 |",
        "| c | - | - | - |",
    ]


def test_a_run_that_fails_leaves_the_others_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    design = tmp_path / "design.yaml"
    content = {
        "settings": [], "arms": {"base": [], "bad": [], "good": []},
        "sets": {"x": {"experiment": "x.yaml", "settings": [], "seeds": [0]}},
    }  # fmt: skip
    design.write_text(yaml.safe_dump(content, sort_keys=False))
    script = (
        "import pathlib, sys; arm, out = sys.argv[1:]; sys.exit(2) if arm == 'bad' else None; "
        "place = pathlib.Path(out); place.mkdir(parents=True); "
        "(place / 'results.json').write_text('{\"map50_95\": 0.5}')"
    )
    monkeypatch.setattr(
        ablation,
        "command",
        lambda run, out: [sys.executable, "-c", script, run.arm, str(run.folder(out))],
    )
    monkeypatch.setattr(sys, "argv", ["ablation.py", str(design), "--out", str(tmp_path / "runs")])
    assert ablation.main() == 1
    said = capsys.readouterr()
    assert said.err == f"failed: {tmp_path / 'runs/x/bad/seed0.log'}\n"
    assert "| bad | - | - |" in said.out
    assert "| good | 50.0 (+0.0), 1 seeds | +0.0 |" in said.out
