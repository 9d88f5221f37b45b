"""Every export trains from its folder alone: `train.py data=FOLDER`, no line written by hand."""

import json
from pathlib import Path

import pytest

from commands.train.cli import parse_train_command
from commands.train.start import start_training
from tests.data.intake.exports import EXPORTS
from tests.data.intake.tool_exports import TOOL_EXPORTS
from tests.run_programs import TINY_NETWORK

TINY = (
    "train.epochs=1", "train.image_size=64", "train.batch_size=2", "train.workers=0",
    "train.threads=1", "train.cache=off", f"model.graph={TINY_NETWORK}", "run.name=x",
)  # fmt: skip
LAYOUTS = EXPORTS | TOOL_EXPORTS


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_an_export_trains(name: str, tmp_path: Path) -> None:
    write, _ = LAYOUTS[name]
    data = tmp_path / "export"
    write(data)
    before = {path: path.stat().st_mtime_ns for path in data.rglob("*")}
    command = parse_train_command([f"data={data}", f"run.folder={tmp_path / 'runs'}", *TINY])
    folder = start_training(command)
    assert folder is not None
    assert folder.best.is_file()
    config = folder.config.read_text(encoding="utf-8")
    assert "format: auto" not in config
    if folder.results.is_file():  # without a val split there is nothing to be measured
        results = json.loads(folder.results.read_text(encoding="utf-8"))
        assert results["epochs"] == 1
        assert {"cat", "dog", "face", "person", "car", "bus", "1", "2"} & set(results["per_class"])
    assert {path: path.stat().st_mtime_ns for path in data.rglob("*")} == before
