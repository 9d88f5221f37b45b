"""What a training writes beside weights, and what its folder is called."""

from pathlib import Path

import pytest

from commands.train.run_files import own_folder, write_cut_lists
from configs.reading.load import LoadedExperiment, load_experiment
from data.intake.resolve import resolve_data
from data.records.load import load_split
from tests.data.intake.exports import ALL, label_studio_yolo, save_image, text, yolo_rows
from utils.runtime.distributed.ranks import ALONE


def experiment(folder: Path, runs: Path, *settings: str) -> LoadedExperiment:
    stated = [f"data={folder}", f"run.folder={runs}", "data.cache=false", *settings]
    return resolve_data(load_experiment("from_scratch.yaml", stated))[0]


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("helmets", "helmets-"),
        ("helmets/data", "helmets-"),
        ("Helmets (v2.1) größe", "Helmets_v2.1_größe-"),
        ("cells-0123456789abcdef", "cells-"),
    ],
)
def test_a_run_is_called_after_its_data(folder: str, name: str, tmp_path: Path) -> None:
    label_studio_yolo(tmp_path / folder)
    loaded = experiment(tmp_path / folder, tmp_path / "runs")
    with own_folder(loaded, None, ALONE) as run:
        assert run.path.name.startswith(name)
        assert run.path.name.endswith("-seed0")


def test_a_stated_name_stays(tmp_path: Path) -> None:
    label_studio_yolo(tmp_path / "x")
    loaded = experiment(tmp_path / "x", tmp_path / "runs", "run.name=mine")
    with own_folder(loaded, None, ALONE) as run:
        assert run.path.name == "mine"


def test_lists_of_a_cut_hold_every_image_once(tmp_path: Path) -> None:
    for number in range(12):
        save_image(tmp_path / "x" / "images" / f"{number}.png")
        text(tmp_path / "x" / "labels" / f"{number}.txt", yolo_rows(ALL["v1"]))
    text(tmp_path / "x" / "classes.txt", "cat\ndog\n")
    loaded = experiment(tmp_path / "x", tmp_path / "runs", "data.val=0.2", "data.test=0.2")
    splits = [
        load_split(loaded.experiment.data, "train"),
        load_split(loaded.experiment.data, "val"),
    ]
    with own_folder(loaded, None, ALONE) as run:
        write_cut_lists(run, loaded, splits)
        lists = {path.stem: path.read_text().splitlines() for path in run.path.glob("*.txt")}
    assert lists.keys() == {"train", "val", "test"}
    assert lists["val"] == [record.path for record in splits[1].records]
    images = sorted(str(path) for path in (tmp_path / "x" / "images").iterdir())
    assert sorted(path for paths in lists.values() for path in paths) == images


def test_no_lists_without_a_share(tmp_path: Path) -> None:
    label_studio_yolo(tmp_path / "x")
    loaded = experiment(tmp_path / "x", tmp_path / "runs")
    with own_folder(loaded, None, ALONE) as run:
        write_cut_lists(run, loaded, [load_split(loaded.experiment.data, "train")])
        assert list(run.path.glob("*.txt")) == []
