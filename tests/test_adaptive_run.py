"""Recipes whose numbers follow from the run, as a person trains and resumes with them."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.run_programs import TINY, run, train, weights_digest, write_dataset
from tests.test_torchrun import ended, torchrun

pytestmark = pytest.mark.slow
WORDS = (
    "train.nominal_batch=batch",
    "train.optimizer.lr=auto",
    "train.warmup.bias_lr=auto",
    "train.ema={decay: auto, ramp_steps: auto, horizon: 1 epoch}",
    "augment.close_mosaic=50%",
)


def settings_of(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "config.yaml").read_text())


def test_numbers_and_words_are_kept_and_more_epochs_give_others(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    finished = train(data, tmp_path / "runs", *WORDS, "train.epochs=2")
    first = settings_of(finished)
    assert first["derived"]["augment.close_mosaic"] == "50%"
    assert first["augment"]["close_mosaic"] == 1
    assert first["train"]["nominal_batch"] == 4  # TINY: batches of 4
    assert "the average remembers 3 of 6 steps (1 epochs)" in (finished / "config.yaml").read_text()
    digests = set()
    for number in range(2):
        folder = tmp_path / f"copy{number}"
        shutil.copytree(finished, folder)
        done = run("train.py", "--resume", folder, "train.epochs=4", fresh=number == 0)
        assert done.returncode == 0, done.stderr
        assert "augment.close_mosaic = 2: 50% of 4 epochs" in done.stderr
        assert settings_of(folder)["augment"]["close_mosaic"] == 2
        digests.add(weights_digest(folder))
    assert len(digests) == 1


def test_the_length_follows_from_the_data(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    done = run(
        "train.py", *TINY, f"data.path={data}", f"run.folder={tmp_path}", "run.name=x",
        "train.epochs=auto", "train.patience=4", "train.image_size=64",
        "train.batch_size=12", "train.nominal_batch=12", "eval.interval=2",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "train.epochs = 300: 300 optimizer steps" in done.stderr
    assert "run: 300 epochs of 1 batch, 300 optimizer steps" in done.stderr
    before, begins, _ = done.stderr.partition("Saving results to")
    assert begins
    assert re.search(r"about \d+:\d+ for 300 epochs, by a trial step", before)


def test_two_processes_are_one_batch_of_the_recipe(tmp_path: Path) -> None:
    data = write_dataset(tmp_path / "data")
    text = ended(torchrun(data, tmp_path, *WORDS, "train.epochs=2"))
    assert "train.nominal_batch = 4: one optimizer step a batch" in text
    assert "the average remembers 3 of 6 steps (1 epochs)" in text
