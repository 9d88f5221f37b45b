"""A head without anchors and objectness through all programs: train, val, predict, export."""

import logging
from pathlib import Path

import pytest
import torch
import yaml

from commands.build.predictor import Predictor
from commands.export.cli import ExportCommand
from commands.export.run import export
from commands.train.run import train
from commands.val.cli import parse_val_command
from commands.val.run import evaluate_weights
from configs.errors import ConfigError
from configs.reading.load import load_experiment
from data.images.io import read_image
from tests import anchor_free
from tests.run_programs import TINY
from utils.checkpoint.weights import load_weights, save_weights
from utils.runtime.files.run_folder import RunFolder

LOSS = (
    "loss.objectness=null",
    "loss.classification={name: focal, gamma: 2.0, alpha: 0.25, normalizer: positives}",
)


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    anchor_free.register(monkeypatch)


def settings(folder: Path, dataset: Path, bins: int = 0, *more: str) -> list[str]:
    graph = folder / "distances.yaml"
    graph.write_text(yaml.safe_dump(anchor_free.distances_graph(bins)))
    return [
        *TINY[2:], *LOSS, f"model.graph={graph}", "model.anchors=graph", f"data.path={dataset}",
        f"run.folder={folder}", "run.name=x", "train.epochs=2", *more,
    ]  # fmt: skip


def trained(folder: Path, dataset: Path, bins: int = 0, *more: str) -> RunFolder:
    return train(load_experiment(TINY[1], settings(folder, dataset, bins, *more)))


def uneven(source: Path, target: Path) -> Path:
    """Write weights of which no two scores are equal but for rounding, which would decide ties."""
    tensors, metadata = load_weights(source)
    generator = torch.Generator().manual_seed(4)
    moved = {
        name: tensor
        + torch.randn(tensor.shape, generator=generator) * (2.0 if "class_outputs" in name else 0.2)
        if name.endswith(("weight", "bias"))
        else tensor
        for name, tensor in tensors.items()
    }
    save_weights(target, moved, metadata)
    return target


@pytest.mark.slow
@pytest.mark.parametrize("bins", [0, 8])
def test_it_learns_and_every_program_takes_its_weights(
    bins: int, tmp_path: Path, dataset: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run = trained(tmp_path, dataset, bins, "model.prior=counted")
    assert "prior counted: shares of cells" in caplog.text
    assert "anchors: best possible recall" not in caplog.text
    assert load_weights(run.best)[1]["anchors"] == []
    rows = (run.path / "metrics.csv").read_text().splitlines()
    assert len(rows) == 3
    assert (run.path / "budget.csv").is_file()
    assert run.report.is_file()

    assert evaluate_weights(parse_val_command(["--weights", str(run.best)])).result.counts[
        "detections"
    ]

    weights = uneven(run.best, run.path / "uneven.safetensors")  # its data are found by the run
    numbers = evaluate_weights(parse_val_command(["--weights", str(weights)]))
    scores = sorted(row["score"] for row in numbers.detections)
    assert len(set(scores)) > 100
    for nms in (False, True):
        (onnx,) = export(ExportCommand(weights=weights, nms=nms, like_val=True))
        again = evaluate_weights(parse_val_command(["--weights", str(onnx)]))
        assert again.result.map50_95 == pytest.approx(numbers.result.map50_95, abs=1e-3)
        assert sorted(row["score"] for row in again.detections) == pytest.approx(scores, abs=1e-4)

    predictor = Predictor.from_file(run.best, ["eval.score_threshold=0.001"])
    image = next((dataset / "images" / "val").iterdir())
    (found,) = predictor(predictor.framing.batch([read_image(image)]))
    assert len(found.boxes)


@pytest.mark.slow
def test_a_resumed_training_starts_from_its_weights(tmp_path: Path, dataset: Path) -> None:
    first = trained(tmp_path, dataset)
    weights = f"model.weights={first.best}"
    second = train(load_experiment(TINY[1], settings(tmp_path, dataset, 0, weights, "run.name=y")))
    report = (second.path / "weights_report.csv").read_text()
    assert "rows" not in report
    assert "taken" in report


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "model.anchors=auto",
            r"model\.anchors .* must be graph: the head Distances",
        ),
        ("model.anchors=[[1, 2], [3, 4]]", r"model\.anchors .* must be graph"),
        ("loss.objectness={name: bce}", r"loss\.objectness .* must be null: the head Distances"),
        (
            "loss.assigner={name: iou}",
            r"loss\.assigner\.name .* is iou, which matches anchors, and the head Distances",
        ),
    ],
)
def test_what_goes_against_the_head_is_one_line(
    override: str, message: str, tmp_path: Path, dataset: Path
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_experiment(TINY[1], settings(tmp_path, dataset, 0, override))
    assert "\n" not in str(caught.value)
