"""A validation set without an object: AP is undefined there, and no epoch is the best by it."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image

from tests.run_programs import TINY_NETWORK, run


def pictures(folder: Path, split: str, rows: str, number: int) -> None:
    for index in range(number):
        image = folder / split / "images" / f"{split}{index}.png"
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (40 * index, 90, 200)).save(image)
        label = folder / split / "labels" / f"{split}{index}.txt"
        label.parent.mkdir(parents=True, exist_ok=True)
        label.write_text(rows)


def write_data(folder: Path, *, train: str, val: str) -> Path:
    pictures(folder, "train", train, 4)
    pictures(folder, "val", val, 2)
    yaml = folder / "data.yaml"
    yaml.write_text("train: train/images\nval: val/images\nnames: [a]\n")
    return yaml


SETTINGS = (
    "train.epochs=4", "train.image_size=64", "train.batch_size=2", "train.workers=0",
    "train.threads=1", "train.patience=1", "train.precision=float32", "eval.interval=1",
    f"model.graph={TINY_NETWORK}", "run.name=x",
)  # fmt: skip


@pytest.mark.slow
def test_the_last_epoch_is_kept_and_patience_ends_nothing(tmp_path: Path) -> None:
    data = write_data(tmp_path / "d", train="0 .5 .5 .5 .5\n", val="")
    done = run(
        "train.py", "--cfg", "configs/finetune.yaml", f"data={data}",
        f"run.folder={tmp_path}", *SETTINGS,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("not one object in 2 images, so AP is undefined") == 1
    assert "stopping early" not in done.stderr
    assert "0.0000 (best)" not in done.stderr
    results = json.loads((tmp_path / "x" / "results.json").read_text())
    assert (results["map50_95"], results["map50"], results["best_epoch"]) == (None, None, 4)
    assert (results["epochs"], results["counts"]["truths"]) == (4, 0)
    with (tmp_path / "x" / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["map50_95"] for row in rows] == [""] * 4
    assert (tmp_path / "x" / "report.html").stat().st_size > 0
    told = run("val.py", "--weights", tmp_path / "x" / "best.safetensors", "--data", data)
    assert told.returncode == 0, told.stderr
    assert next(line.split()[:2] for line in told.stdout.splitlines() if line.startswith("AP")) == [
        "AP",
        "-",
    ]


@pytest.mark.slow
def test_nothing_to_learn_from_is_an_error(tmp_path: Path) -> None:
    data = write_data(tmp_path / "d", train="", val="0 .5 .5 .5 .5\n")
    done = run("train.py", f"data={data}", f"run.folder={tmp_path / 'runs'}", "run.name=x")
    assert done.returncode == 2
    assert "not one object in 4 images; there is nothing to learn from" in done.stderr
    assert not (tmp_path / "runs" / "x").exists()
