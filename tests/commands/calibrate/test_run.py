"""calibrate.py: a new file whose scores are frequencies, the old one untouched, AP as it was."""

import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from commands.build.detector import load_detector
from commands.build.predictor import Predictor, prediction_settings
from commands.calibrate.cli import CalibrateCommand, parse_calibrate_command
from commands.calibrate.run import calibrate, held_out_error
from commands.predict.cli import parse_predict_command
from commands.predict.run import predict
from commands.val.cli import parse_val_command
from commands.val.run import evaluate_weights
from configs.errors import ConfigError
from data.images.io import read_image
from models.weights.checkpoint import read_score_calibrator
from tests.commands.tiny_weights import write_data_set, write_weights
from tests.utils.metrics.scored_rows import random_scored
from utils.checkpoint.weights import load_weights
from utils.metrics.calibration import calibration
from utils.runtime.errors import UserError
from utils.structures.score_calibrator import ScoreCalibrator

QUIET = ("train.threads=1", "train.workers=0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds w.safetensors, new.safetensors calibrated from it, and data/data.yaml."""
    root = tmp_path_factory.mktemp("calibrate")
    write_weights(root / "w.safetensors", epoch=7, category_ids=[3, 1, 7])
    write_data_set(root / "data", root / "w.safetensors", count=6)
    before = (root / "w.safetensors").read_bytes()
    calibrate(command(root))
    assert (root / "w.safetensors").read_bytes() == before
    return root


def command(root: Path, *arguments: str) -> CalibrateCommand:
    return parse_calibrate_command(
        [
            *("--weights", str(root / "w.safetensors"), "--out", str(root / "new.safetensors")),
            *("--data", str(root / "data" / "data.yaml"), *QUIET, *arguments),
        ]
    )


def judged(folder: Path, weights: str, *arguments: str):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return evaluate_weights(
        parse_val_command(
            [
                *("--weights", str(folder / weights)),
                *("--data", str(folder / "data" / "data.yaml"), *QUIET, *arguments),
            ]
        )
    )


def test_the_new_file_is_the_old_one_and_a_map(folder: Path) -> None:
    tensors, metadata = load_weights(folder / "w.safetensors")
    mapped_tensors, mapped = load_weights(folder / "new.safetensors")
    assert tensors.keys() == mapped_tensors.keys()
    assert all(torch.equal(tensors[name], mapped_tensors[name]) for name in tensors)
    stored = mapped.pop("score_map")
    assert mapped == metadata
    assert (stored["method"], stored["split"]) == ("isotonic", "val")
    loaded = load_detector(folder / "new.safetensors")
    assert loaded.own_detector(Path()).score_calibrator == ScoreCalibrator(
        tuple(stored["knots"]), tuple(stored["values"])
    )


def test_validation_finds_the_same_boxes_with_other_scores_in_the_same_order(folder: Path) -> None:
    """That AP stays is tested on scores of a trained network, in tests/metrics."""
    raw, mapped = judged(folder, "w.safetensors"), judged(folder, "new.safetensors")
    # What a limit costs depends on the scores.
    assert {**mapped.result.counts, "images_cut": 0} == {**raw.result.counts, "images_cut": 0}
    before, after = raw.detections, mapped.detections
    assert [row["bbox"] for row in before] == [row["bbox"] for row in after]
    pairs = sorted((old["score"], new["score"]) for old, new in zip(before, after, strict=True))
    assert all(one <= other for (_, one), (_, other) in pairwise(pairs))
    assert any(abs(old - new) > 0.05 for old, new in pairs)


def test_prediction_gives_the_numbers_of_validation(folder: Path, tmp_path: Path) -> None:
    predict(
        parse_predict_command(
            [
                *("--weights", str(folder / "new.safetensors"), "--like-val", "--save", "none"),
                *("--source", str(folder / "data" / "images")),
                *("--save-json", str(tmp_path / "r.json"), *QUIET),
            ]
        )
    )
    rows = json.loads((tmp_path / "r.json").read_text())
    indices = {3: 0, 1: 1, 7: 2}
    as_judged = [{**row, "category_id": indices[row["category_id"]]} for row in rows]
    assert as_judged == judged(folder, "new.safetensors").detections


def test_the_threshold_of_prediction_is_one_on_calibrated_scores(folder: Path) -> None:
    loaded = load_detector(folder / "new.safetensors")
    picture = read_image(folder / "data" / "images" / "0.png")

    def scores(threshold: float) -> torch.Tensor:
        settings = [f"eval.score_threshold={threshold}", "eval.max_detections=5000", *QUIET]
        predictor = Predictor(loaded, prediction_settings(loaded, settings))
        return predictor(predictor.framing.batch([picture]))[0].scores

    everything = scores(0.0)
    threshold = float(everything.median())
    kept = scores(threshold)
    assert 0 < len(kept) < len(everything)
    assert kept.min() > threshold - 1e-6


def test_what_cannot_be_done_is_told_in_one_line(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"new\.safetensors exists and is not overwritten"):
        calibrate(command(folder))
    with pytest.raises(UserError, match=r"--out w\.pt: the name must end in \.safetensors"):
        calibrate(command(folder, "--out", "w.pt"))
    target = str(tmp_path / "x.safetensors")
    with pytest.raises(UserError, match="was not trained with focal loss; take --method isotonic"):
        calibrate(command(folder, "--out", target, "--method", "focal"))
    with pytest.raises(UserError, match="split val gives 0 detections, 0 of them right; a fit"):
        calibrate(command(folder, "--out", target, "eval.score_threshold=0.999"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "stored",
    [
        {"knots": [0, 1]},
        {"knots": [0, 0.5, 1], "values": [0, 0.5, 0.5]},
        {"knots": [0.1, 1], "values": [0, 1]},
        {"knots": [0, 1], "values": [0, 1.5]},
        [1],
    ],
)
def test_a_damaged_map_is_refused(stored: object) -> None:
    with pytest.raises(ConfigError, match=r"w\.safetensors: metadata 'score_map' is damaged"):
        read_score_calibrator({"score_map": stored}, source="w.safetensors")


def test_map_and_inverse() -> None:
    calibrator = ScoreCalibrator((0.0, 0.5, 1.0), (0.1, 0.2, 0.8))
    scores = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0])
    assert calibrator.on_tensor(scores).tolist() == pytest.approx([0.1, 0.15, 0.2, 0.5, 0.8])
    assert calibrator.inverse(0.05) == 0.0
    assert calibrator.inverse(0.5) == pytest.approx(0.75)
    assert 0.999 < calibrator.inverse(0.9) < 1.0
    assert calibrator.on_tensor(torch.zeros(0)).shape == (0,)


def test_held_out_error_is_that_of_maps_that_did_not_see_the_image() -> None:
    found = random_scored(5)
    held_out = held_out_error(found)
    raw = calibration(found, found.scores, floor=0.05).d_ece
    assert held_out is not None
    assert raw is not None
    assert 0.0 < held_out < raw


@pytest.mark.parametrize(
    ("arguments", "out"),
    [
        ("--weights a/best.safetensors", "a/best-calibrated.safetensors"),
        ("--weights w --out o", "o"),
    ],
)
def test_command(arguments: str, out: str) -> None:
    assert parse_calibrate_command(arguments.split()).out == Path(out)
