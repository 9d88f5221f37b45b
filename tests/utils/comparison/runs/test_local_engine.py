"""The engine with programs that take milliseconds instead of trainings."""

import dataclasses
import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from utils.comparison.runs import local_engine
from utils.comparison.runs.local_engine import LocalEngine
from utils.comparison.runs.plan import PlannedRun
from utils.comparison.runs.run_locks import take_claim
from utils.runtime.errors import UserError

FINISH = """
import json, sys, time
from pathlib import Path
folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
with (folder / "starts").open("a") as file: file.write(f"{time.time()}\\n")
time.sleep(float(sys.argv[2]))
(folder / "judged").mkdir(exist_ok=True)
(folder / "judged" / "test.json").write_text("{}")
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class QuickRun(PlannedRun):
    """A run whose program is given."""

    program: str = FINISH
    seconds: float = 0.0

    def next_command(self, extra: object = ()) -> list[str] | None:
        if self.is_done:
            return None
        return [sys.executable, "-c", self.program, str(self.folder), str(self.seconds)]


def run_of(folder: Path, arm: str, seed: int = 0, **changes: object) -> QuickRun:
    place = folder / "runs" / arm / f"seed{seed}"
    return QuickRun(
        arm=arm, seed=seed, experiment=Path("x.yaml"), overrides=(), folder=place, **changes
    )


def starts(run: PlannedRun) -> int:
    return len((run.folder / "starts").read_text().splitlines())


@pytest.mark.slow
def test_every_run_is_done_once_and_never_again(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, arm, seed) for seed in (0, 1) for arm in ("a", "b")]
    for _ in range(2):
        assert LocalEngine(folder=tmp_path, jobs=2).run(runs) == []
        assert [starts(run) for run in runs] == [1, 1, 1, 1]
    assert list((tmp_path / "claims").glob("*.claim")) == []


MEET = FINISH.replace("time.sleep(float(sys.argv[2]))", """
ends = time.monotonic() + 60
while len(list(folder.parents[1].glob("*/*/starts"))) < 2:
    assert time.monotonic() < ends, "nobody else is running"
    time.sleep(0.02)
""")  # fmt: skip
"""Waits for another program to be there."""


def test_jobs_run_at_the_same_time(tmp_path: Path) -> None:
    runs = [run_of(tmp_path, arm, program=MEET) for arm in ("a", "b")]
    assert LocalEngine(folder=tmp_path, jobs=2).run(runs) == []
    assert all(run.is_done for run in runs)


@pytest.mark.slow
def test_a_failing_run_does_not_lose_the_others(tmp_path: Path) -> None:
    bad = run_of(tmp_path, "bad", program="print('the loss is not finite'); raise SystemExit(2)")
    good = run_of(tmp_path, "good")
    failures = LocalEngine(folder=tmp_path, jobs=1).run([bad, good])
    assert good.is_done
    assert [(failure.title, failure.message) for failure in failures] == [
        ("bad seed 0", "the loss is not finite")
    ]
    content = json.loads((tmp_path / "failures" / "bad-seed0.json").read_text())
    assert content["exit_code"] == 2
    mended = run_of(tmp_path, "bad")
    assert LocalEngine(folder=tmp_path, jobs=1).run([mended, good]) == []
    assert not (tmp_path / "failures" / "bad-seed0.json").exists()
    assert starts(good) == 1


@pytest.mark.slow
def test_runs_of_others_are_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("utils.comparison.runs.local_engine.OTHERS_S", 0.1)
    run = run_of(tmp_path, "a")
    claim = take_claim(tmp_path / "claims", run.key)
    assert claim is not None
    released: list[float] = []

    def release_after_a_while() -> None:
        if not released and time.monotonic() - began > 0.5:
            released.append(time.monotonic())
            claim.release()

    began = time.monotonic()
    engine = LocalEngine(folder=tmp_path, jobs=1, check=release_after_a_while)
    assert engine.run([run]) == []
    assert released
    assert starts(run) == 1


def test_a_check_that_raises_ends_the_programs(tmp_path: Path) -> None:
    run = run_of(tmp_path, "a", seconds=60.0)

    def check() -> None:
        if (run.folder / "starts").exists():
            raise UserError("not paired")

    with pytest.raises(UserError, match="not paired"):
        LocalEngine(folder=tmp_path, jobs=1, check=check).run([run])
    assert not run.is_done
    assert take_claim(tmp_path / "claims", run.key) is not None


PARENT = """
import sys
from pathlib import Path
from tests.utils.comparison.runs.test_local_engine import run_of
from utils.comparison.runs import local_engine
from utils.comparison.runs.local_engine import LocalEngine
folder = Path(sys.argv[1])
LocalEngine(folder=folder, jobs=1).run([run_of(folder, "a", seconds=float(sys.argv[2]))])
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="parent death signals are Linux's")
def test_killed_without_mercy_it_leaves_no_orphan_and_the_run_free(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path), "120"])
    run = run_of(tmp_path, "a")
    while not (run.folder / "starts").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    owner = json.loads(next((tmp_path / "claims").glob("*.claim")).read_text())
    child = owner["processes"][1][0]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{child}").exists()
    assert LocalEngine(folder=tmp_path, jobs=1).run([run]) == []
    assert starts(run) == 2


@pytest.mark.slow
def test_asked_to_stop_it_says_how_to_go_on(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path), "60"], stderr=subprocess.PIPE
    )
    run = run_of(tmp_path, "a")
    while not (run.folder / "starts").exists():
        assert parent.poll() is None
        time.sleep(0.05)
    parent.send_signal(signal.SIGTERM)
    _, said = parent.communicate(timeout=60)
    assert b"the same command continues from here" in said
    assert take_claim(tmp_path / "claims", run.key) is not None


def test_what_is_started_next_depends_on_what_is_there(tmp_path: Path) -> None:
    run = PlannedRun(
        arm="focal",
        seed=3,
        experiment=Path("x.yaml"),
        overrides=("loss.box.gain=1",),
        folder=tmp_path / "focal" / "seed3",
    )
    fresh = run.next_command(["train.threads=1"])
    assert fresh is not None
    assert fresh[2:] == [
        "train",
        "--cfg",
        "x.yaml",
        "loss.box.gain=1",
        "train.seed=3",
        f"run.folder={tmp_path / 'focal'}",
        "run.name=seed3",
        "train.threads=1",
    ]
    run.folder.mkdir(parents=True)
    (run.folder / "config.yaml").touch()
    assert run.next_command() == fresh[:-1]
    assert not run.folder.exists()
    (run.folder / "last").mkdir(parents=True)
    (run.folder / "config.yaml").touch()
    assert (run.next_command() or [])[2:] == ["train", "--resume", str(run.folder)]
    (run.folder / "results.json").touch()
    assert (run.next_command() or [])[2:] == ["judge", str(run.folder)]
    (run.folder / "judged").mkdir()
    (run.folder / "judged" / "test.json").touch()
    assert run.next_command() is None


@pytest.mark.slow
def test_what_is_left_is_said_by_the_forecast_then_by_runs_that_ended(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    runs = [run_of(tmp_path, arm, seconds=0.2) for arm in ("a", "b", "c")]
    engine = LocalEngine(folder=tmp_path, jobs=1, expected_s=7200.0)
    engine._total = 3
    assert engine._remaining_text() == "; about 6:00:00 left"
    engine.jobs = 2
    assert engine._remaining_text() == "; about 4:00:00 left"
    engine.jobs = 1
    with caplog.at_level(logging.INFO):
        engine.run(runs)
    (first, second, last) = caplog.messages
    assert first.startswith("1 of 3 runs done: a seed 0")
    assert "; about 2:" not in first + second  # the forecast was far too long
    assert re.search(r"2 of 3 runs done: b seed 0(; about 0:\d\d left)?$", second)
    assert last == "3 of 3 runs done: c seed 0"


def test_without_a_forecast_nothing_is_said_before_a_run_ended(tmp_path: Path) -> None:
    engine = LocalEngine(folder=tmp_path, jobs=1)
    engine._total = 3
    assert engine._remaining_text() == ""


@pytest.mark.slow
def test_a_long_run_says_what_is_left_while_it_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_engine, "SAY_EVERY_S", 0.5)
    engine = LocalEngine(folder=tmp_path, jobs=1, expected_s=3600.0)
    with caplog.at_level(logging.INFO):
        engine.run([run_of(tmp_path, "a", seconds=2.0)])
    *said, last = caplog.messages
    assert len(said) >= 2
    assert said[0].startswith("0 of 1 runs done; about ")
    assert said[-1].startswith("0 of 1 runs done; about 59:")
    assert last == "1 of 1 runs done: a seed 0"


def test_a_resumed_run_does_not_tell_how_long_a_whole_one_takes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resumed, fresh = run_of(tmp_path, "a"), run_of(tmp_path, "b")
    resumed.folder.mkdir(parents=True)
    (resumed.folder / "config.yaml").write_text("train: {epochs: 4}\n")
    (resumed.folder / "metrics.csv").write_text("epoch\n1\n2\n3\n")
    with caplog.at_level(logging.INFO):
        LocalEngine(folder=tmp_path, jobs=1, expected_s=3600.0).run([resumed, fresh])
    assert caplog.messages[0] == "1 of 2 runs done: a seed 0; about 1:00:00 left"
