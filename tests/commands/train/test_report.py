"""The page of a run as the training writes it: live, at its end, and when it cannot be written."""

import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from commands.train.report import TELLING_AP50, ReportPage, say_result
from configs.reading.load import experiment_from_mapping
from data.records.load import Split, load_split
from tests.commands.tiny_weights import write_data_set, write_weights
from tests.utils.report.pages.test_budget_section import write_files
from tests.utils.structures.test_budget import random_budget
from utils.runtime.files.run_folder import RunFolder
from utils.structures.results import ClassResult, EvalResult

POINT = {"threshold": 0.3, "precision": 0.8, "recall": 0.6, "f1": 0.7}
NAMES = ("cat", "dog", "owl")


def result(ap50: float, *, cut: int = 0) -> EvalResult:
    one = ClassResult(ap=0.4, ap50=ap50, num_truths=3, num_detections=5)
    return EvalResult(
        map50_95=ap50 / 2,
        map50=ap50,
        map75=0.1,
        by_size={},
        average_recall={"100": 0.5},
        per_class=dict.fromkeys(NAMES, one),
        operating_points={"best_f1": POINT, "given": POINT},
        confusion=((1, 0, 0, 0),) * 4,
        counts={"images": 3, "truths": 9, "ignored": 0, "detections": 15, "images_cut": cut},
    )


@pytest.fixture(scope="module")
def splits(tmp_path_factory: pytest.TempPathFactory) -> list[Split]:
    root = tmp_path_factory.mktemp("data")
    yaml = write_data_set(root / "pets", write_weights(root / "w.safetensors"), count=4)
    data = {"format": "yolo", "path": str(yaml.parent), "train": "images", "val": "images",
            "class_names": list(NAMES), "max_rejected": 1.0}  # fmt: skip
    settings = experiment_from_mapping({"data": data, "train": {"image_size": 64}}).data
    return [load_split(settings, name) for name in ("train", "val")]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder(tmp_path / "x")
    folder.path.mkdir()
    folder.config.write_text("train: {epochs: 5}\n")
    folder.metrics.write_text("epoch,step,lr,box,map50_95,map50\n1,4,0.1,0.5,0.1,0.2\n")
    environment = {"started": "2026-01-02T10:00:00+00:00", "command": ["train.py", "--cfg", "a b"],
                   "git": "abc", "cpu": "A CPU", "gpus": []}  # fmt: skip
    folder.environment.write_text(json.dumps(environment))
    return folder


def loaded(splits: list[Split]) -> Any:
    root = Path(splits[0].records[0].path).parents[1]
    data = {"format": "yolo", "path": str(root), "train": "images", "val": "images",
            "class_names": list(NAMES)}  # fmt: skip
    experiment = experiment_from_mapping({"data": data, "train": {"image_size": 64}})
    return SimpleNamespace(experiment=experiment, network_name="tiny")


def run(folder: RunFolder, epoch: int, found: EvalResult | None, **changes: Any) -> Any:
    usual = {
        "epoch": epoch,
        "epochs_done": epoch,
        "settings": SimpleNamespace(epochs=5),
        "clock": SimpleNamespace(total_seconds=10.0 * epoch),
        "is_last_epoch": False,
        "is_finished": False,
        "result": found,
        "folder": folder,
        "place": f"epoch {epoch + 1}, batch 3/9",
    }
    return SimpleNamespace(**{**usual, **changes})


def test_the_page_is_there_after_the_first_epoch_and_says_how_long_it_takes(
    folder: RunFolder, splits: list[Split]
) -> None:
    page = ReportPage(loaded(splits), folder, splits)
    page.after_epoch(run(folder, 1, None))
    text = folder.report.read_text()
    for said in (
        "x: tiny on pets", "epoch 1 of 5 is done, about 0:40 left", 'http-equiv="refresh"',
        "started: 2026-01-02 10:00 UTC", "device: A CPU", "commit: abc",
        "python train.py --cfg &#39;a b&#39;", "4 train, 4 val images", "Object sizes at 64 px",
        "data:image/jpeg;base64,", 'href="metrics.csv"',
    ):  # fmt: skip
        assert said in text, said
    page.after_epoch(run(folder, 2, None))  # only seconds old
    assert folder.report.read_text() == text


def test_a_stopped_training_says_how_to_go_on_and_no_longer_reads_itself(
    folder: RunFolder, splits: list[Split]
) -> None:
    page = ReportPage(loaded(splits), folder, splits)
    page.after_training(run(folder, 0, None))
    assert not folder.report.exists()
    page.after_epoch(run(folder, 1, result(0.5)))
    page.after_training(run(folder, 2, result(0.5)))
    text = folder.report.read_text()
    assert f"Stopped at epoch 3, batch 3/9; go on with: train.py --resume {folder.path}" in text
    assert "refresh" not in text
    assert "<b>0.500</b>" in text


def summary() -> Any:
    return SimpleNamespace(epochs=1, seconds=61.0, best_epoch=1, images_per_second=3.0)


@pytest.mark.parametrize(("ap50", "is_said"), [(TELLING_AP50, False), (0.2, True)])
def test_nothing_is_said_of_the_loss_before_the_network_knows_anything(
    folder: RunFolder,
    splits: list[Split],
    caplog: pytest.LogCaptureFixture,
    ap50: float,
    is_said: bool,
) -> None:
    write_files(folder.path, random_budget(1))
    caplog.set_level(logging.INFO)
    page = ReportPage(loaded(splits), folder, splits)
    page.after_epoch(run(folder, 1, result(ap50)))
    text = folder.report.read_text()
    assert ("of its gradient" in text) == is_said
    assert "<details><summary>Where the loss comes from</summary>" in text
    say_result(folder, loaded(splits), summary(), result(ap50))
    assert ("of its gradient" in caplog.text) == is_said


def test_only_limits_that_cost_something_are_noted(folder: RunFolder, splits: list[Split]) -> None:
    for cut in (0, 2):
        page = ReportPage(loaded(splits), folder, splits)
        page.after_epoch(run(folder, 1, result(0.5, cut=cut)))
        assert ("2 images hit the limit eval.max_detections" in folder.report.read_text()) == bool(
            cut
        )


def test_a_page_that_cannot_be_written_costs_the_page_alone(
    folder: RunFolder, splits: list[Split], caplog: pytest.LogCaptureFixture
) -> None:
    folder.metrics.write_text("epoch\nx\n")
    ReportPage(loaded(splits), folder, splits).after_epoch(run(folder, 1, None))
    assert "report.html could not be written (ValueError" in caplog.text
