"""What a weights file keeps of its training, and where its data set is found again."""

import json
from pathlib import Path

import pytest

from commands.build.stored_settings import shareable_settings, with_data_found
from configs.reading.load import experiment_from_mapping
from utils.runtime.errors import UserError

STORED = {
    "data": {"format": "yolo", "path": "/home/me/cells", "train": "/home/me/cells/images/train",
             "val": ["/elsewhere/val.txt"], "class_names": ["/cat", "b"], "cache": False},
    "model": {"graph": "/home/me/mine.yaml", "weights": "/home/me/start.pt"},
    "train": {"workers": 3, "image_size": 64},
    "run": {"folder": "/home/me/runs"},
}  # fmt: skip


def test_a_weights_file_names_no_folder_of_the_machine() -> None:
    kept = shareable_settings(experiment_from_mapping(STORED))
    assert kept["data"]["path"] == "cells"
    assert kept["data"]["train"] == "images/train"
    assert kept["data"]["val"] == ["val.txt"]
    assert kept["data"]["class_names"] == ["/cat", "b"]
    assert kept["model"]["weights"] == "start.pt"
    assert "/home" not in str(kept)
    assert "run" not in kept
    assert "workers" not in kept["train"]
    again = experiment_from_mapping(kept)
    assert again.train.image_size == 64
    assert shareable_settings(again) == kept


def test_paths_below_the_working_directory_stay_usable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = str(tmp_path / "datasets" / "cells")
    stored = {**STORED, "data": {**STORED["data"], "path": path, "train": "images"}}
    assert shareable_settings(experiment_from_mapping(stored))["data"]["path"] == "datasets/cells"


def test_data_are_found_by_the_run_beside_the_weights_or_in_the_usual_places(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "far" / "cells").mkdir(parents=True)
    run, moved = tmp_path / "run", tmp_path / "moved"
    run.mkdir()
    moved.mkdir()
    far = tmp_path / "far" / "cells"
    (run / "config.yaml").write_text(f"data:\n  format: yolo\n  path: {far}\n")
    stored = {"data": {"format": "yolo", "path": "cells"}, "train": {"image_size": 64}}
    found = with_data_found(stored, run / "best.safetensors")
    assert found == {**stored, "data": {"format": "yolo", "path": str(far)}}
    with pytest.raises(UserError, match=r"'cells', which is not found here.*--data"):
        with_data_found(stored, moved / "best.safetensors")
    monkeypatch.setenv("FOCALDET_DATASETS", str(tmp_path / "far"))
    assert with_data_found(stored, moved / "x")["data"]["path"] == str(far)


def test_splits_outside_the_data_set_are_found_by_the_run(tmp_path: Path) -> None:
    run, split = tmp_path / "run", tmp_path / "lists" / "val.txt"
    run.mkdir()
    data = {**STORED["data"], "path": f"{tmp_path}/cells", "val": [str(split)]}
    experiment = experiment_from_mapping({**STORED, "data": data})
    (run / "config.yaml").write_text(json.dumps({"data": data}))
    found = with_data_found(shareable_settings(experiment), run / "best.safetensors")
    assert experiment_from_mapping(found).data == experiment.data


def test_another_data_set_in_the_run_beside_weights_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(f"data: {{path: {tmp_path}/other}}\n")
    with pytest.raises(UserError, match="--data"):
        with_data_found(
            {"data": {"format": "yolo", "path": "cells"}}, tmp_path / "best.safetensors"
        )


def test_generated_images_are_those_of_the_generator(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    stored = {"data": {"format": "synthetic", "path": "data"}}
    with pytest.raises(UserError, match="does not hold generated images"):
        with_data_found(stored, tmp_path / "x.safetensors")
    (tmp_path / "data" / "generator.json").write_text("{}")
    found = with_data_found(stored, tmp_path / "x.safetensors")
    assert found["data"]["path"] == str(tmp_path / "data")


def test_settings_without_data_pass() -> None:
    assert with_data_found({"train": {}}, Path("x")) == {"train": {}}
