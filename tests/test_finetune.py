"""Fine-tuning as a person runs it: weights of other classes, frozen layers, a new head first."""

import csv
from pathlib import Path

import pytest
import torch

from tests.run_programs import TINY, run, train, write_dataset
from utils.checkpoint.weights import load_weights

pytestmark = pytest.mark.slow

NAMES = ["Disc ", "other", "box", "cross", "triangle", "star"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_dataset(tmp_path_factory.mktemp("data") / "scenes")
    (folder / "renamed.yaml").write_text(
        f"path: {folder}\nnames: {NAMES}\ntrain: images/train\nval: images/val\n"
    )
    return folder


@pytest.fixture(scope="module")
def base(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(dataset, tmp_path_factory.mktemp("base"), "train.epochs=1") / "best.safetensors"


def arguments(dataset: Path, base: Path, runs: Path, *settings: str) -> tuple[str, ...]:
    kept = [part for part in TINY if not part.startswith("data.")]
    return (*kept, f"data={dataset / 'renamed.yaml'}", f"model.weights={base}",
            f"run.folder={runs}", "run.name=x", *settings)  # fmt: skip


def test_frozen_layers_stay_and_known_classes_are_carried_over(
    dataset: Path, base: Path, tmp_path: Path
) -> None:
    done = run(
        "train.py", *arguments(dataset, base, tmp_path, "train.epochs=2", "train.freeze=[backbone]",
        "train.head_warmup=1", "train.layer_lr=[[neck, 0.1]]"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "class weights for 5 of 6 classes: Disc , box, cross, triangle, star" in done.stderr
    before, _ = load_weights(base)
    after, metadata = load_weights(tmp_path / "x" / "best.safetensors")
    backbone = len(metadata["graph"]["backbone"])
    for name, value in before.items():
        if int(name.split(".")[1]) < backbone:
            assert torch.equal(after[name], value), name
    assert not torch.equal(after["model.10.m.0.bias"], before["model.10.m.0.bias"])
    with (tmp_path / "x" / "weights_report.csv").open() as file:
        rows = {row["tensor"]: (row["outcome"], row["why"]) for row in csv.DictReader(file)}
    assert rows["model.0.conv.weight"] == ("taken", "")
    assert rows["model.10.m.0.bias"][0] == "rows"
    assert rows.keys() == after.keys()
    assert {"versions", "commit", "config", "data_fingerprint"} <= metadata.keys()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (("train.freeze=[backbon]",), "did you mean 'backbone'"),
        (("train.layer_lr=[[backbone, 0]]",), "train.layer_lr"),
        (("train.freeze=[0-10]",), "leave no parameter to learn"),
        (("train.freeze=[backbone]", "train.layer_lr=[[0-3, 0.1]]"), "all it names is frozen"),
    ],
)
def test_mistakes_are_one_line(
    settings: tuple[str, ...], words: str, dataset: Path, base: Path, tmp_path: Path
) -> None:
    done = run("train.py", *arguments(dataset, base, tmp_path, *settings))
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
