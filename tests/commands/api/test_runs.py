"""Training, evaluating and exporting from Python: what the programs do, as objects."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

import focaldet

TINY: dict[str, Any] = {
    # one thread: threads of this process would hang whatever a later test forks
    "train": {"epochs": 2, "image_size": 64, "workers": 0, "batch_size": 4, "threads": 1},
    "data": {"train_images": 8, "val_images": 4, "test_images": 0, "side": 64},
    "run.name": "tiny",
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> focaldet.Run:
    folder = tmp_path_factory.mktemp("api")
    settings = {**TINY, "run.folder": str(folder), "data.path": str(folder / "data")}
    return focaldet.train("quickstart.yaml", **settings)


class Counter(focaldet.Hook):
    def __init__(self) -> None:
        self.epochs = 0

    def after_epoch(self, run: Any) -> None:
        self.epochs += 1


@pytest.mark.slow
def test_a_run_is_what_its_folder_holds(run: focaldet.Run) -> None:
    assert run.best.is_file()
    assert run.report.is_file()
    assert run.results == json.loads((run.folder / "results.json").read_text())
    assert run.metrics["epoch"] == [1.0, 2.0]
    assert {len(column) for column in run.metrics.values()} == {2}


@pytest.mark.slow
def test_a_run_stands_for_its_weights(run: focaldet.Run) -> None:
    by_run, by_file = focaldet.val(run), focaldet.val(str(run.best))
    assert by_run.map50_95 == by_file.map50_95 == focaldet.val(run.folder).map50_95
    detector = focaldet.load_detector(run)
    assert repr(detector).startswith("<Detector of 6 classes: disc, ")


@pytest.mark.slow
def test_exports_are_files_beside_the_weights(run: focaldet.Run) -> None:
    (path,) = focaldet.export(run, "torchscript")
    assert path == run.folder / "best.torchscript"
    with pytest.raises(focaldet.ConfigError, match="--format onx: choose some of"):
        focaldet.export(run, "onx")


@pytest.mark.slow
def test_a_run_is_resumed_with_hooks(run: focaldet.Run) -> None:
    counter = Counter()
    longer = run.resume(hooks=[counter], train={"epochs": 3})
    assert (longer.folder, counter.epochs) == (run.folder, 1)
    assert longer.metrics["epoch"] == [1.0, 2.0, 3.0]


def test_mistakes_are_errors_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(focaldet.UserError, match="data=FOLDER or cfg=FILE"):
        focaldet.train()
    with pytest.raises(focaldet.ConfigError, match=r"did you mean 'train\.epochs'"):
        focaldet.train("quickstart.yaml", train={"epoch": 3})
    with pytest.raises(focaldet.UserError, match=r"nowhere\.safetensors"):
        focaldet.val(tmp_path / "nowhere.safetensors")


def test_logging_of_the_caller_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(logging.getLogger().handlers)
    with pytest.raises(focaldet.UserError):
        focaldet.train()
    assert logging.getLogger().handlers == before
