"""Data that were moved between two parts of a training: given anew, and known by what they hold."""

import shutil
from pathlib import Path

import pytest

from tests.run_programs import run
from tests.test_background_val import SETTINGS, write_data


@pytest.mark.slow
def test_a_run_goes_on_with_data_that_moved(tmp_path: Path) -> None:
    """The advice of the error has to work (FIELD F15)."""
    write_data(tmp_path / "old", train="0 .5 .5 .5 .5\n", val="0 .5 .5 .4 .4\n")
    first = run(
        "train.py", "--cfg", "configs/finetune.yaml", f"data={tmp_path / 'old' / 'data.yaml'}",
        f"run.folder={tmp_path}", *SETTINGS, "train.epochs=1", "train.patience=0",
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    resume = ("train.py", "--resume", tmp_path / "x")
    shutil.move(tmp_path / "old", tmp_path / "new")
    lost = run(*resume, "train.epochs=2")
    assert (lost.returncode, lost.stderr.count("\n")) == (2, 1)
    assert "data.path" in lost.stderr
    for epochs, data in ((2, f"data.path={tmp_path / 'new'}"), (3, f"data={tmp_path / 'new'}")):
        done = run(*resume, f"train.epochs={epochs}", data)
        assert done.returncode == 0, done.stderr
        assert f"epoch {epochs}/{epochs}" in done.stderr
    label = tmp_path / "new" / "train" / "labels" / "train0.txt"
    label.write_text("0 .5 .5 .9 .9\n")
    changed = run(*resume, "train.epochs=4")
    assert changed.returncode == 2
    assert "--accept-data" in changed.stderr
    assert run(*resume, "train.epochs=4", "--accept-data").returncode == 0
