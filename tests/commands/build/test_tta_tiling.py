"""Tiles and test-time augmentation: val.py and predict.py see the same, and more than at once."""

import json
from pathlib import Path

import pytest
import torch

from commands.build.detector import load_detector
from commands.build.predictor import Predictor, prediction_settings
from commands.build.tta_tiling import ViewInference
from commands.predict.cli import parse_predict_command
from commands.predict.run import predict
from commands.val.cli import parse_val_command
from commands.val.run import Evaluation, evaluate_weights
from commands.view_options import ViewOptions
from data.images.io import read_image
from data.loading.framing import Framing
from models.inference.inference import Inference
from tests.commands.tiny_weights import write_data_set, write_weights

QUIET = ("train.threads=1", "train.workers=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("views")
    write_weights(root / "best.safetensors")
    write_data_set(root / "data", root / "best.safetensors", count=3)
    return root


@pytest.fixture(scope="module")
def single_view(folder: Path) -> Evaluation:
    return validate(folder)


def validate(folder: Path, *arguments: str) -> Evaluation:
    command = ["--weights", str(folder / "best.safetensors"), "--data"]
    return evaluate_weights(
        parse_val_command([*command, str(folder / "data/data.yaml"), *arguments, *QUIET])
    )


def predicted(folder: Path, target: Path, *arguments: str) -> list[object]:
    predict(
        parse_predict_command(
            [
                *("--weights", str(folder / "best.safetensors")),
                *("--source", str(folder / "data" / "images"), "--save", "none"),
                *("--save-json", str(target), *arguments, *QUIET),
            ]
        )
    )
    rows: list[object] = json.loads(target.read_text())
    return rows


@pytest.mark.slow
@pytest.mark.parametrize(
    "options", [("--tta",), ("--tile", "40"), ("--tile", "48", "--overlap", "0.5", "--tta")]
)
def test_prediction_and_validation_see_the_same(
    options: tuple[str, ...], folder: Path, single_view: Evaluation, tmp_path: Path
) -> None:
    judged = validate(folder, *options)
    rows = predicted(folder, tmp_path / "r.json", "--like-val", *options)
    assert rows == judged.detections
    assert judged.detections != single_view.detections
    counts = judged.result.counts
    assert (counts["images"], counts["detections"]) == (3, len(rows))
    assert judged.result.seconds["inference"] > 0


def test_a_single_view_is_the_ordinary_prediction(folder: Path) -> None:
    loaded = load_detector(folder / "best.safetensors")
    predictor = Predictor(loaded, prediction_settings(loaded, QUIET))
    picture = read_image(folder / "data" / "images" / "0.png")
    (plain,) = predictor(predictor.framing.batch([picture]))
    settings = prediction_settings(loaded, QUIET).eval
    look = ViewInference(
        Inference(loaded.detector, settings, fused=True),
        ViewOptions(tile=1000),
        framing=Framing(image_size=loaded.image_size, stride=loaded.detector.size_multiple),
        settings=settings,
        device=torch.device("cpu"),
    )
    (seen,) = look(picture).detections
    assert len(plain) > 3
    assert torch.equal(seen.scores, plain.scores)
    assert torch.equal(seen.boxes, plain.boxes)
