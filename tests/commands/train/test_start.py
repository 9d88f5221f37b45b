"""The configuration of a resumed run whose data were moved: given anew in every form."""

import shutil
from pathlib import Path

import pytest

from commands.train.cli import TrainCommand
from commands.train.run_files import write_configuration
from commands.train.start import load, recognised
from configs.errors import ConfigError
from configs.reading.load import load_experiment
from tests.test_background_val import write_data
from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import RunFolder


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
