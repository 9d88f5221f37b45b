"""Tiles and test-time augmentation: val.py and predict.py see the same, and more than at once."""

import json
from pathlib import Path

import pytest
import torch

from assembly.detector import load_detector
from assembly.judging import Judgement, judge
from assembly.prediction import predict
from assembly.predictor import Predictor, prediction_settings
from assembly.view_inference import ViewInference
from configs.cli import parse_predict_command
from configs.val_cli import parse_val_command
from configs.view_options import ViewOptions
from data.framing import Framing
from data.image_io import read_image
from models.inference import Inference
from tests.assembly.tiny_weights import write_data_set, write_weights

QUIET = ("train.threads=1", "train.workers=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("views")
    write_weights(root / "best.safetensors")
    write_data_set(root / "data", root / "best.safetensors", count=5)
    return root


def validate(folder: Path, *arguments: str) -> Judgement:
    command = ["--weights", str(folder / "best.safetensors"), "--data"]
    return judge(parse_val_command([*command, str(folder / "data/data.yaml"), *arguments, *QUIET]))


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


@pytest.mark.parametrize(
    "options", [("--tta",), ("--tile", "40"), ("--tile", "48", "--overlap", "0.5", "--tta")]
)
def test_prediction_and_validation_see_the_same(
    options: tuple[str, ...], folder: Path, tmp_path: Path
) -> None:
    judged = validate(folder, *options)
    rows = predicted(folder, tmp_path / "r.json", "--like-val", *options)
    assert rows == judged.detections
    assert judged.detections != validate(folder).detections
    counts = judged.result.counts
    assert (counts["images"], counts["detections"]) == (5, len(rows))
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
