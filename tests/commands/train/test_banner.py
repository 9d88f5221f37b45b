import re

import pytest
import torch
from torch import nn

from commands.train.banner import banner, forward_flops
from configs.origins import CONFIGS_FOLDER
from configs.reading.yaml_reader import read_yaml
from configs.schema.train import TrainSettings
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
