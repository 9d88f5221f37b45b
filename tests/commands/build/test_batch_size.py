from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from commands.build import batch_size, noise_steps
from commands.build.batch_size import (
    choose_batch_size,
    estimated_fit,
    largest_useful,
    measured_fit,
)
from commands.build.noise_steps import NoiseSteps
from configs.errors import ConfigError
from configs.reading.derive import derive
from configs.reading.load import LoadedExperiment, load_experiment
from data.records.load import load_split
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.errors import UserError
from utils.runtime.machine.memory import GIB


def probe(each: float, fixed: float = 1.0, has: float = 80.0) -> Callable[[int], int]:
    """A device of `has` GiB on which a step takes `fixed` and `each` GiB per image."""

    def step(images: int) -> int:
        if fixed + each * images > has:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return int((fixed + each * images) * GIB)

    step.sizes = []  # type: ignore[attr-defined]
    return step


@pytest.mark.parametrize(
    ("each", "has", "largest", "images"),
    [
        (1.0, 80.0, 128, 56),  # (0.8 * 80 - 1) / 1 = 63
        (1.0, 80.0, 20, 16),
        (30.0, 80.0, 128, 2),
        (70.0, 80.0, 128, 1),  # more than the margin leaves, but it runs
        (0.001, 80.0, 128, 128),
        (9.0, 80.0, 128, 4),  # 7 fit
        (2.0, 80.0, 128, 24),  # 31 fit; 64 do not even run
    ],
)
def test_as_many_as_the_margin_leaves(each: float, has: float, largest: int, images: int) -> None:
    fit = measured_fit(probe(each, has=has), int(has * GIB), largest)
    assert fit.images == images
    assert images * each + 1 <= 0.8 * has or images == 1


def test_what_is_free_counts_not_what_there_is() -> None:
    assert measured_fit(probe(1.0, has=10.0), 10 * GIB, 128).images == 4  # 7 fit


def test_one_image_too_much_is_one_line() -> None:
    with pytest.raises(UserError, match=r"not even one image fits into 4\.0 GiB"):
        measured_fit(probe(9.0, has=4.0), 4 * GIB, 8)


def test_other_errors_are_not_taken_for_memory() -> None:
    def broken(images: int) -> int:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="mat1"):
        measured_fit(broken, GIB, 8)


def test_small_data_sets_keep_some_steps() -> None:
    assert [largest_useful(number) for number in (0, 7, 80, 5000)] == [1, 1, 10, 128]


@pytest.mark.parametrize(
    ("side", "free", "images"), [(640, 64, 16), (640, 4, 4), (320, 4, 16), (1280, 1, 1)]
)
def test_without_measuring_it_goes_by_free_memory(side: int, free: int, images: int) -> None:
    fit = estimated_fit(side, free * GIB, 128)
    assert fit.images == images
    assert f"{free}.0 GiB are free" in fit.reason


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedExperiment:
    path = tmp_path / "x.yaml"
    path.write_text(
        "base: presets/scratch.yaml\nmodel: {graph: models/yolov5n.yaml}\n"
        "train: {batch_size: auto, image_size: 64, device: cpu}\n"
        f"data: {{format: synthetic, path: {tmp_path / 'images'}, train_images: 40, val_images: 2, "
        "test_images: 0, side: 64}\n"
    )
    return load_experiment(path)


@pytest.mark.slow
def test_the_run_keeps_the_number(
    loaded: LoadedExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = load_split(loaded.experiment.data, "train")
    monkeypatch.setattr(batch_size, "free_memory", lambda device: 100 * GIB)
    with pytest.raises(ConfigError, match=r"train\.batch_size: auto is measured by train\.py"):
        derive(loaded, num_images=40)
    chosen = choose_batch_size(loaded, split, torch.device("cpu"), ALONE)
    assert chosen.experiment.train.batch_size == 4  # 40 images, 8 batches
    run = tmp_path / "config.yaml"
    run.write_text(derive(chosen, num_images=40).to_yaml())
    again = load_experiment(run)
    assert again.experiment.train.batch_size == 4
    assert "train.batch_size" not in again.words
    monkeypatch.setattr(batch_size, "free_memory", lambda device: 0)
    assert choose_batch_size(again, split, torch.device("cpu"), ALONE) is again


@pytest.mark.slow
def test_several_processes_are_told_to_state_it(loaded: LoadedExperiment) -> None:
    split = load_split(loaded.experiment.data, "train")
    with pytest.raises(UserError, match="run once without torchrun"):
        choose_batch_size(loaded, split, torch.device("cpu"), Ranks(rank=0, size=2))


@pytest.mark.slow
def test_a_real_step_is_measured(loaded: LoadedExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe for CUDA, with the CPU for a device and its peak played."""
    split = load_split(loaded.experiment.data, "train")
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_: None)
    reserved = iter([1 * GIB, 3 * GIB])
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: next(reserved))
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda _: next(reserved))
    learned: list[Any] = []
    real = noise_steps.Learner.learn
    monkeypatch.setattr(
        noise_steps.Learner,
        "learn",
        lambda self, batch, iteration: learned.append(batch) or real(self, batch, iteration),
    )
    device = torch.device("cpu")
    step = batch_size._MemoryProbe(NoiseSteps(loaded, split, device, 64), device)
    assert step(2) == 2 * GIB
    assert len(learned) == noise_steps.MEASURED_STEPS
    mean = np.mean([len(record.boxes) for record in split.records])
    assert learned[0].images.shape == (2, 3, 64, 64)
    assert len(learned[0].targets) >= 2 * 4 * mean - 2
