"""Published weights through all programs: two steps of training, ONNX, detection."""

import logging
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from torch import Tensor

from commands.build.detector import load_detector
from commands.build.predictor import Predictor
from commands.convert.run import convert
from commands.export.cli import ExportCommand
from commands.export.run import export
from commands.train.run import train
from configs.errors import ConfigError
from configs.reading.load import load_experiment
from data.images.io import read_image
from tests.commands.build.foreign_files import write_lightning, write_mmengine, write_yolox
from tests.models.filled import filled_state
from tests.run_programs import TINY
from utils.checkpoint.weights import load_weights

YOLOX = (
    "loss.assigner={name: simota, candidates: center}",
    "loss.box={name: alpha_iou, overlap: iou, exponent: 2, gain: 5.0, normalizer: positives}",
    "loss.objectness={name: bce, gain: 1.0, normalizer: positives}",
    "loss.classification={name: bce, gain: 1.0, normalizer: positives}",
)
RTMDET = (
    "loss.assigner={name: soft_label}",
    "loss.box={name: giou, gain: 2.0, normalizer: targets}",
    "loss.objectness=null",
    "loss.classification={name: quality, beta: 2.0, gain: 1.0, normalizer: targets}",
)
YOLOV9 = (
    "loss.assigner={name: task_aligned}",
    "loss.box={name: ciou, gain: 7.5, normalizer: targets}",
    "loss.objectness=null",
    "loss.classification={name: bce, gain: 0.5, target: aligned, normalizer: targets}",
    "loss.distribution={name: dfl, gain: 1.5}",
)
Write = Callable[[Path, Mapping[str, Tensor]], Path]
CASES: dict[str, tuple[str, tuple[str, ...], str, Write]] = {
    "yolox": ("nano", YOLOX, "w.pth", write_yolox),
    "rtmdet": ("tiny", RTMDET, "w.pth", write_mmengine),
    "yolov9": ("t", YOLOV9, "w.ckpt", write_lightning),
}
"""Size, losses, name of a file and what writes it."""


def written(folder: Path, family: str) -> Path:
    size, _, name, write = CASES[family]
    return write(folder / name, filled_state(family, size))


def settings(folder: Path, dataset: Path, graph: str, weights: Path, *more: str) -> list[str]:
    return [
        *TINY[2:], f"model.graph=models/{graph}.yaml", "model.anchors=graph",
        f"model.weights={weights}", f"data.path={dataset}", f"run.folder={folder}", "run.name=x",
        "train.epochs=1", *more,
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("family", CASES)
def test_it_trains_exports_and_finds(family: str, tmp_path: Path, dataset: Path) -> None:
    size, loss, *_ = CASES[family]
    weights = written(tmp_path, family)
    stated = settings(tmp_path, dataset, f"{family}-{size}", weights, *loss)
    run = train(load_experiment(TINY[1], stated))
    rows = (run.path / "weights_report.csv").read_text().splitlines()
    outcomes = {row.split(",")[1] for row in rows[1:]}
    assert outcomes == {"taken", "rows"}  # box layers whole, class rows of common names
    tensors, metadata = load_weights(run.best)
    assert all(bool(torch.isfinite(t).all()) for t in tensors.values() if t.is_floating_point())
    assert "converted_from" not in metadata
    assert [p.suffix for p in export(ExportCommand(weights=run.best, formats=("onnx",)))] == [
        ".onnx"
    ]
    for each in (weights, run.best):
        predictor = Predictor.from_file(each, ["eval.score_threshold=0.001"])
        image = next((dataset / "images" / "val").iterdir())
        (found,) = predictor(predictor.framing.batch([read_image(image)]))
        assert len(found.boxes)
    assert load_detector(weights).class_names[0] == "person"


@pytest.mark.slow
@pytest.mark.parametrize("is_converted", [False, True])
def test_folded_norms_are_measured_before_the_first_step(
    is_converted: bool,
    shared: Path,
    tmp_path: Path,
    dataset: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    weights = shared / "weights" / "yolox_nano_0.1.1rc0.onnx"
    if is_converted:
        weights = convert(weights, tmp_path / "nano.safetensors")
    stated = settings(tmp_path, dataset, "yolox-nano", weights, *YOLOX)
    run = train(load_experiment(TINY[1], stated))
    assert "statistics measured on 12 images" in caplog.text
    tensors, metadata = load_weights(run.best)
    assert "converted_from" not in metadata
    means = [t for name, t in tensors.items() if name.endswith(".running_mean")]
    assert all(bool(mean.abs().max() > 0) for mean in means)


@pytest.mark.slow
def test_weights_of_another_network_say_which_one_they_fit(tmp_path: Path, dataset: Path) -> None:
    stated = settings(tmp_path, dataset, "yolox-s", written(tmp_path, "yolox"), *YOLOX)
    with pytest.raises(ConfigError, match=r"set model\.graph=models/yolox-nano\.yaml"):
        train(load_experiment(TINY[1], stated))
