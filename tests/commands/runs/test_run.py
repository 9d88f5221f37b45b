"""Lists of runs: what the files of a folder say, whole, half and damaged."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from commands.runs.cli import parse_runs_command
from commands.runs.compare import KEPT, paired_difference
from commands.runs.run import answer, list_runs
from tests.utils.comparison.detection_problem import random_detections, random_truths
from utils.comparison.runs.run_locks import take_claim
from utils.comparison.runs.stored_evaluation import JudgedSplit, write_judged
from utils.metrics.coco_ap import JUDGES
from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import RunFolder

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


def test_data_of_a_coco_file_are_called_by_the_folder_above_its_split(tmp_path: Path) -> None:
    config = make(tmp_path, "b") / "config.yaml"
    coco = "/data/cells/train, format: coco, train: {images: ., annotations: _annotations.json}"
    config.write_text(config.read_text().replace("/data/cells", coco))
    assert list_runs(tmp_path)[0].data == "cells"


def test_a_run_without_validation_is_done_after_its_last_epoch(tmp_path: Path) -> None:
    folder = make(tmp_path, "a")
    (folder / "results.json").unlink()
    config = (folder / "config.yaml").read_text().replace("/data/cells", "/data/cells, val: null")
    (folder / "config.yaml").write_text(config)
    assert list_runs(tmp_path)[0].state == "done"
    (folder / "config.yaml").write_text(config.replace("epochs: 3", "epochs: 4"))
    assert list_runs(tmp_path)[0].state == "stopped"
    validated = config.replace("val: null", "val: images")
    (folder / "config.yaml").write_text(validated)
    assert list_runs(tmp_path)[0].state == "stopped"


def test_the_last_run_has_a_name(tmp_path: Path) -> None:
    make(tmp_path, "b")
    later = make(tmp_path, "a") / "config.yaml"
    os.utime(later, (2e9, 2e9))
    assert run("show", "last", "--folder", str(tmp_path)).startswith("name: a\n")
    with pytest.raises(UserError, match=r"^c: no such run; list_runs.py lists"):
        run("show", "c", "--folder", str(tmp_path))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["first"], "list_runs.py show first"),
        (["first", "second"], "list_runs.py compare first second"),
        (["shwo", "first"], "list_runs.py show first"),
        (["compar", "a b", "c"], "list_runs.py compare 'a b' c"),
    ],
)
def test_a_task_that_is_none(
    words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_runs_command(words)
    assert f"no task {words[0]!r}; type {line}; see" in capsys.readouterr().err


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
    assert "command: python train.py a" in text


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        run("--folder", str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match="no such run;"):
        run("show", "nobody", "--folder", str(tmp_path))
    assert run("--folder", str(tmp_path)) == f"no runs in {tmp_path}"
    for wrong in (("show",), ("compare", "a"), ("list", "a")):
        with pytest.raises(SystemExit) as exit_:
            run(*wrong)
        assert exit_.value.code == 2


def keep(folder: Path, quality: float, *, seed: int = 0, names: str = "abc") -> JudgedSplit:
    """Let a run have found a share of `quality` of the same 40 images' objects."""
    truths = random_truths(np.random.default_rng(seed), images=40, classes=3)
    found = random_detections(np.random.default_rng(5), truths, quality=quality)
    kept = JudgedSplit(
        truths=truths,
        detections=found,
        paths=tuple(f"{number}.jpg" for number in range(40)),
        class_names=tuple(names),
        result={},
    )
    write_judged(folder, KEPT, kept)
    return kept


@pytest.mark.slow
def test_a_difference_is_that_of_the_judge_and_its_interval_tells_noise_from_more(
    tmp_path: Path,
) -> None:
    runs = [make(tmp_path, name) for name in ("a", "bb", "ccc")]
    kept = [keep(run, quality) for run, quality in zip(runs, (0.3, 0.9, 0.3), strict=True)]
    aps = [100 * JUDGES["hotcoco"](one.truths, one.detections).stats[0] for one in kept]
    folders = [RunFolder(run) for run in runs]
    better = paired_difference(folders[0], folders[1])
    assert better.delta == pytest.approx(aps[1] - aps[0], abs=1e-6)
    assert 0 < better.low < better.delta < better.high
    assert [one.name for one in better.classes] == list("abc")
    assert np.mean([one.delta for one in better.classes]) == pytest.approx(better.delta)
    back = paired_difference(folders[1], folders[0])
    assert (back.delta, back.low) == pytest.approx((-better.delta, -better.high), abs=0.2)
    same = paired_difference(folders[0], folders[2])
    assert (same.low, same.delta, same.high) == (0, 0, 0)
    text = run("compare", "a", "bb", "--folder", str(tmp_path))
    assert f"second minus first: {better.delta:+.2f} points" in text
    assert "not of seeds" in text


def test_runs_that_cannot_be_paired_say_why_and_show_what_is_known(tmp_path: Path) -> None:
    runs = [make(tmp_path, name) for name in ("a", "bb", "ccc", "dddd")]
    keep(runs[0], 0.5)
    keep(runs[2], 0.5, seed=1)
    keep(runs[3], 0.5, names="abd")
    for other, why in (
        ("bb", "bb keeps no detections"),
        ("ccc", "other images or labels"),
        ("dddd", "other classes"),
    ):
        text = run("compare", "a", other, "--folder", str(tmp_path))
        assert re.search(f"^No interval: .*{why}", text, re.MULTILINE)
        assert "AP50-95, second minus first" not in text
        assert "  cell: 0.400 | 0.400" in text
    (runs[2] / "judged" / f"{KEPT}.npz").write_bytes(b"x")
    text = run("compare", "a", "ccc", "--folder", str(tmp_path))
    assert "No interval: the detections that ccc keeps cannot be read" in text


def test_a_page_has_the_curves_of_both_over_each_other(tmp_path: Path) -> None:
    for name in ("a", "bb"):
        keep(make(tmp_path, name, lr=0.1 * len(name)), 0.5)
    page = tmp_path / "both.html"
    text = run("compare", "a", "bb", "--folder", str(tmp_path), "--page", str(page))
    assert text.endswith(f"page: {page}")
    content = page.read_text(encoding="utf-8")
    assert "train.optimizer.lr" in content
    assert "http" not in content
    curves = content[content.index(">AP50-95<span") : content.index(">AP50<span")]
    assert curves.count("<polyline") == 2
    assert "difference by class" in content


def test_two_runs_of_one_name_are_told_apart(tmp_path: Path) -> None:
    one, other = make(tmp_path / "x", "a"), make(tmp_path / "y", "a")
    page = tmp_path / "both.html"
    run("compare", str(one), str(other), "--page", str(page))
    assert str(other) in page.read_text(encoding="utf-8")


def test_a_run_that_went_on_with_fewer_epochs_is_as_long_as_it_is(tmp_path: Path) -> None:
    rows = "".join(f"{epoch},0.2,0.5\n" for epoch in range(1, 12))
    (make(tmp_path, "a") / "metrics.csv").write_text("epoch,map50_95,map50\n" + rows)
    assert "  11/11  " in run("--folder", str(tmp_path))


def test_the_network_keeps_its_name(tmp_path: Path) -> None:
    config = make(tmp_path, "a") / "config.yaml"
    own = config.read_text().replace("graph: yolov5n.yaml", "graph: graph.yaml, name: yolov9")
    config.write_text(own)
    assert list_runs(tmp_path)[0].model == "yolov9"
    config.write_text(own.replace(", name: yolov9", ""))
    assert list_runs(tmp_path)[0].model == "-"


def test_a_run_is_shown_with_classes_and_what_its_files_hold(tmp_path: Path) -> None:
    folder = make(tmp_path, "a")
    text = run("show", str(folder))
    assert "  cell  0.400" in text
    assert "  results.json: the numbers of the final evaluation" in text
    assert json.loads(run("show", str(folder), "--json"))["per_class"]["cell"] == {"ap": 0.4}
    with pytest.raises(SystemExit):
        run("show", str(folder), "--page", "x.html")


def test_tags_and_notes_are_shown(tmp_path: Path) -> None:
    folder = make(tmp_path, "b")
    make(tmp_path, "cc")
    text = (folder / "config.yaml").read_text()
    config = yaml.safe_load(text)
    config.setdefault("run", {}).update(tags=["night", "base"], notes="the first try")
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    head, first, second = run("--folder", str(tmp_path)).splitlines()
    assert head.endswith("started           tags")
    assert first.endswith("night, base")
    assert second.endswith("10:00")
    assert "notes: the first try" in run("show", str(folder))


def test_the_evaluation_before_training_is_no_epoch_and_not_the_best(tmp_path: Path) -> None:
    folder = make(tmp_path, "a")
    (folder / "results.json").unlink()
    start, first = "0,0,,0.9,0.95\n", "1,5,0.1,0.2,0.5\n"
    (folder / "metrics.csv").write_text(f"epoch,step,lr,map50_95,map50\n{start}{first}")
    (one,) = list_runs(tmp_path)
    assert (one.epochs_done, one.map50_95, one.map50) == (1, 0.2, 0.5)
