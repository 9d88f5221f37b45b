import os
from pathlib import Path

import pytest

from commands.train.cli import TrainCommand
from commands.train.start import with_named_run
from utils.runtime.errors import UserError


def make(folder: Path, age: float, *files: str) -> Path:
    folder.mkdir(parents=True)
    for name in ("config.yaml", *files):
        (folder / name).write_text("")
        os.utime(folder / name, (1e9 - age, 1e9 - age))
    return folder


def command(resume: Path | None, *overrides: str) -> TrainCommand:
    return TrainCommand(cfg=None, overrides=overrides, resume=resume)


def test_last_is_the_run_that_was_written_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "runs" / "a", 300)
    older = make(tmp_path / "runs" / "old", 900, "metrics.csv")
    os.utime(older / "metrics.csv", (1e9 - 10, 1e9 - 10))  # resumed lately
    make(tmp_path / "elsewhere" / "z", 5)
    (tmp_path / "runs" / "no-run").mkdir()
    last = Path("last")
    assert with_named_run(command(last)).resume == Path("runs/old")
    other = with_named_run(command(last, "run.folder=elsewhere", "train.epochs=9"))
    assert (other.resume, other.overrides) == (Path("elsewhere/z"), ("train.epochs=9",))


def test_other_names_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for resume in (None, Path("runs/last"), Path("x")):
        assert with_named_run(command(resume)).resume == resume
    make(tmp_path / "last", 0)  # a run of that name in the working directory
    assert with_named_run(command(Path("last"))).resume == Path("last")


def test_no_run_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="--resume last: there is no run in runs"):
        with_named_run(command(Path("last")))
