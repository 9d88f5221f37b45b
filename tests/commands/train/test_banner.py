import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from commands.build.noise_steps import NoiseSteps
from commands.train.banner import WORTH_A_TRIAL, banner, expected_time, forward_flops
from configs.origins import CONFIGS_FOLDER
from configs.reading.derive import derive
from configs.reading.load import LoadedExperiment, load_experiment
from configs.reading.yaml_reader import read_yaml
from configs.schema.train import TrainSettings
from data.records.load import Split, load_split
from models.detector import Detector, build_detector
from utils.runtime.distributed.ranks import ALONE


@pytest.fixture(scope="module")
def detector() -> Detector:
    graph = read_yaml(CONFIGS_FOLDER / "models" / "yolov5n.yaml").values
    return build_detector(graph, num_classes=80)


def test_operations_of_known_layers() -> None:
    layer = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1, groups=4))
    # per pixel: 3 * 9 * 8 products, then 2 * 9 * 8
    assert forward_flops(layer, 64) == pytest.approx(2 * 64 * 64 * (3 * 9 * 8 + 2 * 9 * 8))


def test_a_published_network_takes_what_is_published(detector: Detector) -> None:
    detector.train()
    # YOLOv5n: 1.87 million parameters, 4.5 GFLOP at 640 px by its own table.
    assert forward_flops(detector, 640) / 1e9 == pytest.approx(4.5, abs=0.15)
    assert detector.training
    assert not any(module._forward_hooks for module in detector.modules())


def test_what_a_person_wants_to_know_first(detector: Detector) -> None:
    settings = TrainSettings(device="cpu", image_size=320, batch_size=8, workers=3)
    lines = list(
        banner(detector, settings, torch.device("cpu"), ALONE, network="n", images=(200, 0))
    )
    text = "\n".join(lines)
    assert 4 <= len(lines) <= 5
    assert lines[0].startswith("device: ")
    assert "GiB free; computing in" in lines[0]
    network = r"network: n, 1\.87 million parameters, 1\.1\d? GFLOP for an image of 320 px"
    assert re.search(network, text)
    assert "data: 200 images to train, none for validation; batches of 8" in text
    assert lines[-1].endswith("3 loader workers")


@pytest.fixture
def trial(tmp_path: Path) -> tuple[LoadedExperiment, Split]:
    path = tmp_path / "x.yaml"
    path.write_text(
        "base: presets/scratch.yaml\nmodel: {graph: models/yolov5n.yaml}\n"
        "train: {batch_size: 4, epochs: 40, image_size: 64, device: cpu}\n"
        f"data: {{format: synthetic, path: {tmp_path / 'images'}, train_images: 20, val_images: 2, "
        "test_images: 0, side: 64}\n"
    )
    loaded = load_experiment(path)
    return derive(loaded, num_images=20), load_split(loaded.experiment.data, "train")


def test_expected_time_is_that_of_all_steps(
    trial: tuple[LoadedExperiment, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(NoiseSteps, "seconds", lambda self, images: asked.append(images) or 1.5)
    text = expected_time(*trial, torch.device("cpu"), batches_per_epoch=100)
    assert text is not None
    assert text.startswith("about 1:40:00 for 40 epochs, by a trial step;")  # 4,000 of 1.5 s
    assert asked == [4]
    short = (WORTH_A_TRIAL - 1) // 40
    assert expected_time(*trial, torch.device("cpu"), batches_per_epoch=short) is None
    assert asked == [4]


@pytest.mark.parametrize(
    ("device", "images", "told"), [("cpu", 4, "about 6:40:00"), ("cuda", 16, "about 1:40:00")]
)
def test_a_trial_on_a_cpu_takes_a_part_of_a_batch(
    device: str,
    images: int,
    told: str,
    trial: tuple[LoadedExperiment, Split],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    monkeypatch.setattr(NoiseSteps, "seconds", lambda self, images: asked.append(images) or 1.5)
    loaded, split = trial
    train = loaded.experiment.train.model_copy(update={"batch_size": 16})
    loaded = replace(loaded, experiment=loaded.experiment.model_copy(update={"train": train}))
    text = expected_time(loaded, split, torch.device(device), batches_per_epoch=100)
    assert text is not None
    assert text.startswith(told)  # 4,000 steps of 1.5 s, a quarter of each measured on a CPU
    assert asked == [images]


def test_too_little_memory_for_a_trial_is_left_to_the_training(
    trial: tuple[LoadedExperiment, Split], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: NoiseSteps, images: int) -> float:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(NoiseSteps, "seconds", full)
    assert expected_time(*trial, torch.device("cpu"), batches_per_epoch=100) is None


@pytest.mark.slow
def test_a_trial_draws_no_random_number_of_the_run(trial: tuple[LoadedExperiment, Split]) -> None:
    before = torch.random.get_rng_state()
    assert expected_time(*trial, torch.device("cpu"), batches_per_epoch=100) is not None
    assert torch.equal(torch.random.get_rng_state(), before)
