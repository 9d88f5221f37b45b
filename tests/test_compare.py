"""compare.py as a person runs it: a whole comparison, killed in the middle, and small questions.

The numbers behind it are tested in tests/comparison.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.commands import ROOT
from utils.comparison.run_numbers import TIMES

SMOKE = ("--cfg", "configs/compare/smoke.yaml")
TINY = (
    "data.train_images=12", "data.val_images=6", "data.test_images=6", "data.side=64",
    "train.image_size=64", "train.batch_size=4", "train.epochs=2", "train.workers=0",
    "train.threads=1", "test.bootstrap=100", "name=tiny",
)  # fmt: skip


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run compare.py to its end; it starts many programs, which take long on a busy machine."""
    return subprocess.run(
        [sys.executable, "compare.py", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )


def settings(root: Path, *more: str) -> list[str]:
    """Return arguments for a comparison of seconds in `root`."""
    return [*SMOKE, *TINY, f"data.path={root / 'data'}", f"folder={root / 'compare'}", *more]


def without_times(content: Any) -> Any:
    """Leave out what no two runs of the same training share."""
    if isinstance(content, dict):
        return {k: without_times(v) for k, v in content.items() if k not in TIMES}
    return [without_times(item) for item in content] if isinstance(content, list) else content


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


def test_power_answers_before_any_training() -> None:
    done = run("power", "--sd", "0.8", "--margin", "0.5")
    assert done.returncode == 0
    assert "never" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--cfg", "absent.yaml"], "cannot read absent.yaml"),
        ([*SMOKE, "sedes=[1]"], "unknown key 'sedes'"),
        (["report", "absent"], "holds no design.json"),
        (["judge", "absent"], "no such run folder"),
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
    assert "4 trainings, 4 of them to do" in done.stderr
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
    assert "4 trainings, 0 of them to do" in again.stderr
    assert before == {name: (folder / name).read_bytes() for name in before}


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
    command = [sys.executable, "compare.py", *settings(broken, *arguments, data)]
    process = subprocess.Popen(command, cwd=ROOT, start_new_session=True)
    state = broken / "compare/tiny/runs/bce/seed3/last"
    deadline = time.monotonic() + 600
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert state.exists()
    assert not (broken / "compare/tiny/comparison.json").exists()
    resumed = run(*settings(broken, *arguments, data))
    assert resumed.returncode == 0, resumed.stderr
    assert without_times(result_of(broken)) == without_times(result_of(whole))
