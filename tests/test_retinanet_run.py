"""RetinaNet as a person trains, judges and resumes it: the same path as every other detector."""

import json
from pathlib import Path

import pytest

from tests.run_programs import run, train, weights_digest
from utils.checkpoint.weights import load_weights

pytestmark = pytest.mark.slow

RETINA = (
    "model.graph=models/retinanet-csp-n.yaml",
    "model.prior=counted",
    "loss.objectness=null",
    "loss.assigner={name: iou}",
    "loss.box={name: smooth_l1, gain: 1.0, normalizer: positives}",
    "loss.classification={name: focal, gamma: 2.0, alpha: 0.25, form: linear, gain: 1.0, "
    "normalizer: positives}",
    "train.epochs=2",
)


@pytest.fixture(scope="module")
def finished(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished training of two epochs."""
    folder = tmp_path_factory.mktemp("finished")
    return train(dataset, folder, *RETINA, "model.anchors=auto", fresh=True)


def test_val_repeats_the_numbers_of_training(finished: Path, tmp_path: Path) -> None:
    """Other batch sizes and fusing round differently, which two epochs' near-equal scores show."""
    target = tmp_path / "val.json"
    done = run("val.py", "--weights", finished / "best.safetensors", "--json", target)
    assert done.returncode == 0, done.stderr
    trained, judged = (json.loads(path.read_text()) for path in (finished / "results.json", target))
    assert (judged["map50"], judged["map50_95"]) == (trained["map50"], trained["map50_95"])


def test_the_weights_hold_the_anchors_that_were_fitted(finished: Path) -> None:
    tensors, metadata = load_weights(finished / "best.safetensors")
    stored = tensors["model.22.anchors"][0] * 8
    assert stored.flatten().tolist() == pytest.approx(metadata["anchors"][0], rel=1e-6)


def test_one_seed_gives_one_network(dataset: Path, finished: Path, tmp_path: Path) -> None:
    again = train(dataset, tmp_path, *RETINA, "model.anchors=auto")
    assert weights_digest(again) == weights_digest(finished)


def test_the_yolo_head_trains_with_the_assigner_by_overlap(dataset: Path, tmp_path: Path) -> None:
    finished = train(dataset, tmp_path, "train.epochs=1", "loss.assigner={name: iou}")
    assert (finished / "best.safetensors").exists()
