"""Whole trainings whose images are drawn by the training device, here the CPU."""

import json
from pathlib import Path

import pytest

from commands.train.resume_check import verify_resume
from tests.forking import forked_programs
from tests.run_programs import TINY_NETWORK, train, weights_digest

SETTINGS = (
    "train.epochs=2", "augment.mixup=0.5", "augment.mosaic=1.0", "augment.close_mosaic=1",
    "train.multi_scale=0.4",
)  # fmt: skip


def witnessed(folder: Path) -> dict[str, object]:
    content: dict[str, object] = json.loads((folder / "pairing.json").read_text())
    return content


@pytest.mark.slow
def test_a_training_does_not_depend_on_workers(dataset: Path, tmp_path: Path) -> None:
    runs = {
        name: train(dataset, tmp_path / name, *SETTINGS, *settings, fresh=name == "here")
        for name, settings in {
            "here": ("augment.device=train",),
            "workers": ("augment.device=train", "train.workers=2"),
            "drawn by workers": ("augment.device=cpu",),
        }.items()
    }
    first, second, other = (witnessed(folder) for folder in runs.values())
    assert first["num_batches"] == 6
    assert first == second
    assert weights_digest(runs["here"]) == weights_digest(runs["workers"])
    # Other pixels, by a level or so: the same start, but no pair.
    assert first["weights"] == other["weights"]
    assert first["batches"] != other["batches"]
    for folder in runs.values():
        assert (folder / "plots" / "training_batch.jpg").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_trainings_resume_exactly() -> None:
    small = f"model.graph={TINY_NETWORK}"
    with forked_programs():
        said = verify_resume(None, ["augment.device=train", "augment.mixup=0.5", small], kills=2)
    assert said.startswith("resume is exact: killed")
