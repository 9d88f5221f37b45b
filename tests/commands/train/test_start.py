"""Which run is resumed, and its configuration when its data moved."""

import os
import shutil
from pathlib import Path

import pytest

from commands.train import start
from commands.train.cli import TrainCommand
from commands.train.run_files import write_configuration
from commands.train.start import load, recognised, with_named_run
from configs.errors import ConfigError
from configs.reading.load import load_experiment
from tests.test_background_val import write_data
from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import RunFolder


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


def test_the_name_of_a_run_stands_for_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "runs" / "a", 0)
    make(tmp_path / "other" / "b", 0)
    assert with_named_run(command(Path("a"))).resume == Path("runs/a")
    assert with_named_run(command(Path("b"))).resume == Path("b")  # opening it says what is wrong
    named = with_named_run(command(Path("b"), "run.folder=other", "train.epochs=3"))
    assert (named.resume, named.overrides) == (Path("other/b"), ("train.epochs=3",))
    make(tmp_path / "a", 0)
    assert with_named_run(command(Path("a"))).resume == Path("a")


@pytest.mark.parametrize("name", ["0", "cuda", "mps", "cuda:7"])
def test_the_device_is_looked_for_before_the_data(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    monkeypatch.setattr(start, "prepare_environment", lambda: None)
    monkeypatch.setattr(start, "look_at_data", lambda *_: pytest.fail("read data"))
    with pytest.raises(UserError, match=r"^train\.device="):
        start.start_training(TrainCommand(Path("quickstart.yaml"), (f"train.device={name}",), None))


def test_no_run_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^last: there is no run in runs"):
        with_named_run(command(Path("last")))


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run whose data were moved from `old` to `new` since."""
    data = write_data(tmp_path / "old", train="0 .5 .5 .5 .5\n", val="0 .5 .5 .4 .4\n")
    folder = RunFolder(tmp_path / "x")
    folder.path.mkdir()
    loaded = load_experiment(Path("configs/finetune.yaml"), [f"data={data}"])
    write_configuration(recognised(loaded), folder)
    shutil.move(tmp_path / "old", tmp_path / "new")
    return folder.path


def test_without_a_word_one_line_says_which(run_folder: Path) -> None:
    with pytest.raises((ConfigError, UserError), match=r"data\.path"):
        load(TrainCommand(cfg=None, overrides=(), resume=run_folder))


@pytest.mark.parametrize("form", ["data.path={}", "data={}/data.yaml", "data={}"])
def test_moved_data_are_taken_in_every_form(form: str, run_folder: Path) -> None:
    new = form.format(run_folder.parent / "new")
    loaded, changes = load(TrainCommand(cfg=None, overrides=(new,), resume=run_folder))
    data = recognised(loaded).experiment.data
    assert Path(data.path).resolve() == (run_folder.parent / "new").resolve()
    assert data.class_names == ("a",)
    assert {change.key for change in changes} <= {"data.path"}
