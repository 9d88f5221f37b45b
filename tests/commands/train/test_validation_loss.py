"""The loss on validation images beside a whole training: no other number changes with it."""

import csv
from pathlib import Path

import pytest

from commands.train.run import train
from configs.reading.load import load_experiment
from tests.run_programs import weights_digest

SMALL = (
    "data.train_images=12", "data.val_images=6", "data.test_images=3", "data.side=96",
    "train.image_size=96", "train.batch_size=4", "train.nominal_batch=8", "train.workers=0",
    "train.threads=1", "train.epochs=2", "eval.interval=1", "train.precision=float32",
    "loss.objectness={name: ghm}", "loss.classification={name: seesaw, normalizer: ema_positives}",
)  # fmt: skip
"""Losses that remember what they have seen, so that one batch more would show."""


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_weights_and_numbers_are_equal_with_and_without(dataset: Path, tmp_path: Path) -> None:
    runs = {}
    for name in ("true", "false"):
        stated = (
            *SMALL, f"data.path={dataset}", f"run.folder={tmp_path}", f"run.name=loss_{name}",
            f"eval.loss={name}",
        )  # fmt: skip
        runs[name] = train(load_experiment("quickstart.yaml", stated)).path
    assert weights_digest(runs["true"]) == weights_digest(runs["false"])
    measured = {"val_box", "val_objectness", "val_classification"}
    for one, other in zip(*map(rows, runs.values()), strict=True):
        assert one.keys() - other.keys() == measured
        assert all(float(one[name]) > 0 for name in measured)
        same = other.keys() - {"images_per_second", "seconds"}
        assert {name: one[name] for name in same} == {name: other[name] for name in same}
    pages = {name: (folder / "report.html").read_text() for name, folder in runs.items()}
    assert "Validation loss" in pages["true"]
    assert "Validation loss" not in pages["false"]
