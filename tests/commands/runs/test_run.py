"""Lists of runs: what the files of a folder say, whole, half and damaged."""

import json
from pathlib import Path

import pytest

from commands.runs.cli import parse_runs_command
from commands.runs.run import answer, list_runs
from utils.comparison.runs.run_locks import take_claim
from utils.runtime.errors import UserError

CONFIG = """\
resolved: true
data: {{path: /data/cells}}
model: {{graph: yolov5n.yaml, weights: {weights}}}
train: {{epochs: 3, optimizer: {{lr: {lr}}}}}
run: {{name: {name}}}
"""
METRICS = "epoch,map50_95,map50\n1,0.2,0.5\n2,0.4,0.7\n3,,\n"


def make(root: Path, name: str, *, lr: float = 0.1, weights: str = "null", ap: float = 0.4) -> Path:
    folder = root / name
    (folder / "last").mkdir(parents=True)
    (folder / "config.yaml").write_text(CONFIG.format(weights=weights, lr=lr, name=name))
    (folder / "metrics.csv").write_text(METRICS)
    results = {"map50_95": ap, "map50": 0.7, "per_class": {"cell": {"ap": ap}}}
    (folder / "results.json").write_text(json.dumps(results))
    environment = {"started": f"2026-01-0{len(name)}T10:00:00+00:00", "command": ["train.py", name]}
    (folder / "environment.json").write_text(json.dumps(environment))
    return folder


def run(*arguments: str) -> str:
    return answer(parse_runs_command(arguments))


def test_a_row_says_what_the_files_say(tmp_path: Path) -> None:
    make(tmp_path, "b", weights="n.pt")
    lines = run("--folder", str(tmp_path)).splitlines()
    assert lines[0].split() == ["name", "state", "data", "model", "AP", "AP50", "epochs", "started"]
    expected = "b     done   cells  yolov5n < n  0.400  0.700  3/3     2026-01-01 10:00"
    assert lines[1:] == [expected]


def test_the_latest_run_stands_last(tmp_path: Path) -> None:
    make(tmp_path, "ccc")
    make(tmp_path, "a")
    assert [one.name for one in list_runs(tmp_path)] == ["a", "ccc"]


def test_the_state_follows_from_what_is_there(tmp_path: Path) -> None:
    folder = make(tmp_path, "a")
    assert list_runs(tmp_path)[0].state == "done"
    (folder / "results.json").unlink()
    (stopped,) = list_runs(tmp_path)
    assert (stopped.state, stopped.map50_95, stopped.map50) == ("stopped", 0.4, 0.7)
    claim = take_claim(folder / ".claims", "training")
    assert claim is not None
    assert list_runs(tmp_path)[0].state == "running"
    claim.release()
    (folder / "last").rmdir()
    assert list_runs(tmp_path)[0].state == "failed"


@pytest.mark.parametrize("name", ["results.json", "metrics.csv", "environment.json"])
@pytest.mark.parametrize("content", [b"", b"\xff\x00", b"[1]", b'{"map50_95": "x"}'])
def test_damaged_files_cost_their_columns_only(tmp_path: Path, name: str, content: bytes) -> None:
    (make(tmp_path, "a") / name).write_bytes(content)
    assert "cells" in run("--folder", str(tmp_path))
    assert json.loads(run("--folder", str(tmp_path), "--json"))[0]["name"] == "a"


def test_a_configuration_that_is_no_yaml_is_unreadable(tmp_path: Path) -> None:
    (make(tmp_path, "a") / "config.yaml").write_text("a: [")
    assert list_runs(tmp_path)[0].state == "unreadable"


def test_two_runs_differ_in_the_settings_that_matter(tmp_path: Path) -> None:
    make(tmp_path, "a", lr=0.1, ap=0.4)
    make(tmp_path, "bb", lr=0.2, ap=0.5)
    text = run("compare", "a", "bb", "--folder", str(tmp_path))
    assert "  train.optimizer.lr: 0.1 | 0.2\n" in text
    assert "run.name" not in text
    assert "  cell: 0.400 | 0.500" in text
    content = json.loads(run("compare", "a", "bb", "--folder", str(tmp_path), "--json"))
    assert content["settings"] == {"train.optimizer.lr": ["0.1", "0.2"]}
    assert "same settings" in run("compare", "a", "a", "--folder", str(tmp_path))


def test_a_stopped_run_says_how_to_go_on(tmp_path: Path) -> None:
    (make(tmp_path, "a") / "results.json").unlink()
    text = run("show", str(tmp_path / "a"))
    assert f"go on with: train.py --resume {tmp_path / 'a'}" in text
    assert "command: train.py a" in text


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        run("--folder", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no such run folder"):
        run("show", "nobody", "--folder", str(tmp_path))
    assert run("--folder", str(tmp_path)) == f"no runs in {tmp_path}"
    for wrong in (("show",), ("compare", "a"), ("list", "a")):
        with pytest.raises(SystemExit) as exit_:
            run(*wrong)
        assert exit_.value.code == 2


def test_the_evaluation_before_training_is_no_epoch_and_not_the_best(tmp_path: Path) -> None:
    folder = make(tmp_path, "a")
    (folder / "results.json").unlink()
    start, first = "0,0,,0.9,0.95\n", "1,5,0.1,0.2,0.5\n"
    (folder / "metrics.csv").write_text(f"epoch,step,lr,map50_95,map50\n{start}{first}")
    (one,) = list_runs(tmp_path)
    assert (one.epochs_done, one.map50_95, one.map50) == (1, 0.2, 0.5)
