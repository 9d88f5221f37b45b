"""compare.py as a person runs it: a whole comparison, killed in the middle, and small questions.

The numbers behind it are tested in tests/comparison.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from configs.reading.overrides import nested
from configs.reading.yaml_reader import read_yaml
from tests.commands.compare.test_comparison_parts import coco_data
from tests.forking import ForkedProgram
from tests.run_programs import ROOT, TINY_NETWORK
from tests.run_programs import run as run_program
from utils.comparison.summary.run_numbers import METRICS, TIMES
from utils.runtime.machine.threads import available_cores

SMOKE = ("--cfg", "configs/compare/smoke.yaml")
TINY = (
    "data.train_images=12", "data.val_images=6", "data.test_images=6", "data.side=64",
    "train.image_size=64", "train.batch_size=4", "train.epochs=2", "train.workers=0",
    "train.threads=1", "test.bootstrap=100", f"model.graph={TINY_NETWORK}", "name=tiny",
)  # fmt: skip


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run compare.py to its end; it starts many programs, which take long on a busy machine."""
    return run_program("compare.py", *arguments, limit_s=1500)


def settings(root: Path, *more: str) -> list[str]:
    """Return arguments for a comparison of seconds in `root`."""
    return [*SMOKE, *TINY, f"data.path={root / 'data'}", f"folder={root / 'compare'}", *more]


def kill_when_there_is(path: Path, arguments: list[str]) -> None:
    """Start compare.py and kill it, with all that it started, as soon as `path` is there."""
    command = [sys.executable, "compare.py", *arguments]
    process = ForkedProgram(command, cwd=ROOT, text=True, start_new_session=True)
    deadline = time.monotonic() + 600
    while not path.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert path.exists()


def without_times(content: Any) -> Any:
    """Leave out what no two runs of the same training share."""
    if isinstance(content, dict):
        return {k: without_times(v) for k, v in content.items() if k not in TIMES}
    return [without_times(item) for item in content] if isinstance(content, list) else content


def page_without_times(root: Path) -> str:
    """Return report.html without the rows of the table that hold times, and nothing else."""
    text = (root / "compare/tiny/report.html").read_text(encoding="utf-8")
    for metric in METRICS:
        if metric.key in TIMES:
            row = rf'<tr><th scope="row">{re.escape(metric.label)}\b.*?</tr>'
            text, count = re.subn(row, "", text, flags=re.DOTALL)
            assert count == 1
    return text


def result_of(root: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((root / "compare/tiny/comparison.json").read_text())
    return content


def test_help_is_quick_and_tells_every_key() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "compare.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "test.margin" in done.stdout
    assert "expected_sd" in done.stdout
    assert not [line for line in done.stderr.splitlines() if line.endswith(" torch")]


@pytest.mark.slow
def test_power_answers_before_any_training() -> None:
    done = run("power", "--sd", "0.8", "--margin", "0.5")
    assert done.returncode == 0
    assert "never" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cfg", "absent.yaml"], "cannot read absent.yaml"),
        ([*SMOKE, "sedes=[1]"], "unknown key 'sedes'"),
        (["report", "absent"], "it has no design.json"),
        (["judge", "absent"], "no such run;"),
    ],
)
def test_mistakes_are_one_line_and_code_two(arguments: list[str], said: str) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_smoke_goes_from_design_to_report_and_repeats(tmp_path: Path) -> None:
    done = run(*settings(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "4 training runs, 4 of them to do" in done.stderr
    folder = tmp_path / "compare/tiny"
    content = result_of(tmp_path)
    assert set(content["arms"]) == {"bce", "focal"}
    assert list(content["arms"]["focal"]["deltas"]) == ["0", "1"]
    for seed in (0, 1):
        rows = [row for row in content["controls"] if row["seed"] == seed]
        assert len({(row["weights"], row["batches"]) for row in rows}) == 1
        assert all(len(row["weights"]) == 12 for row in rows)
    before = {name: (folder / name).read_bytes() for name in ("comparison.json", "report.html")}
    assert run("report", folder).returncode == 0
    assert before == {name: (folder / name).read_bytes() for name in before}
    again = run(*settings(tmp_path))
    assert "4 training runs, 0 of them to do" in again.stderr
    assert before == {name: (folder / name).read_bytes() for name in before}


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_halves_of_a_validation_split_are_evaluated_apart(tmp_path: Path) -> None:
    (tmp_path / "experiment.yaml").write_text(
        f"data: {coco_data(tmp_path / 'cells')}\nmodel: {{graph: {TINY_NETWORK}}}\n"
    )
    design = tmp_path / "design.yaml"
    design.write_text(json.dumps({
        "experiment": str(tmp_path / "experiment.yaml"), "baseline": "bce", "seeds": [0, 1],
        "arms": {"bce": {}, "poly": {"loss.classification": {"name": "poly"}}},
        "settings": {"train": {"epochs": 1, "image_size": 64, "batch_size": 4, "workers": 0}},
        "test": {"bootstrap": 100}, "name": "tiny", "folder": str(tmp_path / "compare"), "jobs": 1,
    }))  # fmt: skip
    done = run("--cfg", design, "settings.train.threads=1")
    assert done.returncode == 0, done.stderr
    facts = result_of(tmp_path)["data"]
    assert facts["val_images"] + facts["test_images"] == facts["train_images"]


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_arms_that_begin_differently_are_stopped_with_the_key(tmp_path: Path) -> None:
    broken = settings(tmp_path, "seeds=[0]", "arms.focal.augment.flip_vertical=0.9")
    done = run(*broken)
    assert done.returncode == 2
    assert "augment.flip_vertical" in done.stderr.splitlines()[-1]


@pytest.mark.slow
@pytest.mark.timeout(1600)
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_killed_in_the_middle_it_ends_in_the_same_report(tmp_path: Path) -> None:
    arguments = ("seeds=[3]", "train.epochs=3")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    data = f"data.path={tmp_path / 'data'}"
    done = run(*settings(whole, *arguments, data))
    assert done.returncode == 0, done.stderr
    state = broken / "compare/tiny/runs/bce/seed3/last"
    kill_when_there_is(state, settings(broken, *arguments, data))
    assert not (broken / "compare/tiny/comparison.json").exists()
    resumed = run(*settings(broken, *arguments, data))
    assert resumed.returncode == 0, resumed.stderr
    assert without_times(result_of(broken)) == without_times(result_of(whole))
    assert page_without_times(broken) == page_without_times(whole)


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_tuning_finds_settings_and_the_arms_are_trained_with_them(tmp_path: Path) -> None:
    trials = {
        "bce": [{"loss.box.gain": 0.05}, {"loss.box.gain": 0.1}],
        "focal": [{"loss.objectness.gamma": 1.0}, {"loss.objectness.gamma": 2.0}],
    }
    tuning = {"trials": trials, "seeds": [7], "epochs_share": 0.5}
    done = run(*settings(tmp_path, "seeds=[0]", f"tuning={json.dumps(tuning)}"))
    assert done.returncode == 0, done.stderr
    assert "4 training runs of 50 % of the length, 4 of them to do" in done.stderr
    folder, content = tmp_path / "compare/tiny", result_of(tmp_path)
    for arm, entry in content["tuning"].items():
        scores = [trial["map50_95"] for trial in entry["trials"]]
        assert [trial["settings"] for trial in entry["trials"]] == trials[arm]
        assert entry["best"] == scores.index(max(scores))
        assert entry["best_of"] == pytest.approx([sum(scores) / 2, max(scores)])
        chosen = nested(trials[arm][entry["best"]])["loss"]
        final = read_yaml(folder / f"runs/{arm}/seed0/config.yaml").values
        assert all(final["loss"][part][k] == v for part in chosen for k, v in chosen[part].items())
        assert final["train"]["epochs"] == 2
        short = read_yaml(folder / f"tuning/{arm}/trial0/seed7/config.yaml").values
        assert short["train"]["epochs"] == 1
    assert [trial["focal"]["gamma"] for trial in content["tuning"]["focal"]["trials"]] == [1, 2]
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "expected best of k trials" in page
    assert "Trials, mAP50-95 on val" in page


SEARCH = (
    "seeds=[0]", "tuning.trials=2", "tuning.sampler=tpe", "tuning.seeds=[7]",
    "tuning.epochs_share=1", "train.epochs=1",
    "tuning.space.all={loss.box.gain: {low: 0.02, high: 0.2, log: true}}",
    "tuning.space.focal={loss.objectness.gamma: {choices: [1.0, 2.0]}}",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(1600)
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="needs process groups")
def test_a_search_killed_in_the_middle_ends_in_the_same_report(tmp_path: Path) -> None:
    pytest.importorskip("optuna")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    data = f"data.path={tmp_path / 'data'}"
    done = run(*settings(whole, *SEARCH, data))
    assert done.returncode == 0, done.stderr
    assert "4 training runs of 100 % of the length, 4 of them to do" in done.stderr
    folder = broken / "compare/tiny"
    kill_when_there_is(folder / "tuning/focal/trial1/seed7", settings(broken, *SEARCH, data))
    assert not (folder / "tuning.json").exists()
    first = folder / "tuning/bce/trial0/seed7/results.json"
    finished = first.stat().st_mtime_ns
    resumed = run(*settings(broken, *SEARCH, data))
    assert resumed.returncode == 0, resumed.stderr
    assert first.stat().st_mtime_ns == finished
    assert without_times(result_of(broken)) == without_times(result_of(whole))
    assert page_without_times(broken) == page_without_times(whole)
    for arm, entry in result_of(broken)["tuning"].items():
        best = nested(entry["trials"][entry["best"]]["settings"])["loss"]
        final = read_yaml(folder / f"runs/{arm}/seed0/config.yaml").values
        assert all(final["loss"][part][k] == v for part in best for k, v in best[part].items())
        assert ("objectness" in best) == (arm == "focal")


WITHOUT_OPTUNA = """
import runpy, sys
sys.modules["optuna"] = None
sys.argv = ["compare.py", *sys.argv[1:]]
runpy.run_path("compare.py", run_name="__main__")
"""


@pytest.mark.slow
def test_a_search_without_the_library_is_one_line_before_anything_begins(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_OPTUNA, *settings(tmp_path, *SEARCH)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "tuning.space needs the package optuna: pip install optuna"
    )
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "compare").exists()


@pytest.mark.slow
def test_the_plan_is_said_and_leaves_no_folder(tmp_path: Path) -> None:
    done = run(*settings(tmp_path, "--plan-only"))
    assert done.returncode == 0, done.stderr
    assert "2 arms x 2 seeds: 4 training runs, 4 of them to do" in done.stderr
    assert "one training takes about" in done.stderr
    assert not (tmp_path / "compare").exists()


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_ray_carries_out_a_comparison(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_worker_niceness", "0")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    done = run(*settings(tmp_path, "engine=ray", "jobs=2", "seeds=[0]"))
    assert done.returncode == 0, done.stderr
    assert set(result_of(tmp_path)["arms"]) == {"bce", "focal"}
    config = read_yaml(tmp_path / "compare/tiny/runs/focal/seed0/config.yaml").values
    assert config["train"]["threads"] == max(1, available_cores() // 2)


@pytest.mark.slow
def test_folds_train_each_arm_once_without_each_fold(tmp_path: Path) -> None:
    done = run(*settings(tmp_path, "--folds", "2", "train.epochs=1"))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "compare" / "tiny"
    content = json.loads((folder / "comparison.json").read_text())
    assert content["data"]["test_images"] == 12 + 6  # train and val; the test split is not used
    assert "2 folds" in done.stderr
    assert "18 test images, 2 folds." in done.stderr
    kept = []
    for arm, one in content["arms"].items():
        assert one["seeds"] == [0, 1]
        lists = [folder / "runs" / arm / f"seed{fold}" / "val.txt" for fold in (0, 1)]
        kept.append([path.read_text().split() for path in lists])
    assert all(own == kept[0] for own in kept)
    assert sum(map(len, kept[0])) == 18
    assert min(map(len, kept[0])) >= 6  # images of one name in train and val stay together
    assert not set(kept[0][0]) & set(kept[0][1])


@pytest.mark.slow
@pytest.mark.timeout(1600)
def test_an_interrupted_comparison_goes_on_with_the_threads_it_has_chosen(tmp_path: Path) -> None:
    folder = tmp_path / "compare/tiny"
    # The design states no threads, so that jobs: auto chooses them.
    unstated = [text for text in TINY if text != "train.threads=1"]
    more = (f"data.path={tmp_path / 'data'}", f"folder={tmp_path / 'compare'}", "jobs=auto")
    arguments = [*SMOKE, *unstated, *more]
    kill_when_there_is(folder / "runs/bce/seed0/last", arguments)
    kept = json.loads((folder / "execution.json").read_text())
    done = run(*arguments)
    assert done.returncode == 0, done.stderr
    assert "jobs: auto tries" not in done.stderr
    assert "all that is left" in done.stderr
    assert json.loads((folder / "execution.json").read_text()) == kept
    configs = sorted(folder.glob("runs/*/*/config.yaml"))
    assert len(configs) == 4
    assert {read_yaml(path).values["train"]["threads"] for path in configs} == {kept["threads"]}
    (entry,) = kept["machines"].values()
    tried = [(one["jobs"], one["threads"]) for one in entry["tried"]]
    assert (entry["jobs"], kept["threads"]) in tried
    assert tried[0] == (1, available_cores())
