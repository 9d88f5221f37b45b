"""Training and detection on a device without float64, as Apple's: a stand-in fails where it does.

UX defect D13 was `.double()` on tensors of the device in three places.
"""

from pathlib import Path
from typing import Any

import pytest
import torch

from configs.reading.derive import derive
from configs.reading.load import LoadedExperiment, load_experiment
from models.detector import Detector, build_detector
from models.inference.inference import Inference
from models.losses import DetectionCriterion, build_criterion
from models.losses.criterion.budget import measure_budget
from tests.fake_mps import MPS, MpsTensor, apple_gpu
from utils.engine.learner import Learner
from utils.metrics.rows import detection_rows
from utils.structures import exact
from utils.structures.batch import Batch, Targets
from utils.structures.exact import in_float64, move
from utils.structures.images import ImageMeta

pytestmark = pytest.mark.slow


CLASSES = 3
SIDE = 64
ANCHORS = "base: presets/yolov5.yaml\nmodel: {graph: models/yolov5n.yaml}\n"
ANCHOR_FREE = "base: presets/modern.yaml\nmodel: {graph: models/focal-n.yaml}\n"
LOSSES = {
    "bce": "",
    "ghm": "loss: {classification: {name: ghm}}\n",
    "equalized": "loss: {classification: {name: equalized_focal}}\n",
    "seesaw": "loss: {classification: {name: seesaw}}\n",
}


@pytest.fixture(autouse=True)
def _knows_the_stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "WITHOUT_FLOAT64", frozenset({"mps", MPS.type}))
    real = torch.autocast

    def autocast(device_type: str, *arguments: Any, **options: Any) -> torch.autocast:
        return real("cpu" if device_type == MPS.type else device_type, *arguments, **options)

    monkeypatch.setattr(torch, "autocast", autocast)


def experiment(text: str, tmp_path: Path, *overrides: str) -> LoadedExperiment:
    path = tmp_path / "x.yaml"
    path.write_text(f"{text}data: {{format: synthetic, path: {tmp_path / 'images'}}}\n")
    stated = ("train.batch_size=2", f"train.image_size={SIDE}", "train.precision=float32")
    return derive(load_experiment(path, (*stated, *overrides)), num_images=8)


def parts(loaded: LoadedExperiment) -> tuple[Detector, DetectionCriterion]:
    graph: Any = dict(loaded.graph)
    if loaded.experiment.loss.classification.over_classes:
        graph["class_scores"] = "softmax"
    torch.manual_seed(0)
    detector = build_detector(graph, num_classes=CLASSES)
    criterion = build_criterion(
        loaded.experiment.loss,
        num_classes=CLASSES,
        num_levels=len(detector.strides),
        image_size=SIDE,
        class_counts=(5, 2, 1),
        first_l1_epoch=0,
    )
    return detector, criterion


def batch() -> Batch:
    images = torch.randint(0, 255, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    return Batch(
        images=images,
        targets=Targets(
            boxes=torch.tensor([[3.0, 3, 30, 30], [10, 10, 50, 60], [0, 0, 9, 9]]),
            labels=torch.tensor([0, 1, 2]),
            image_index=torch.tensor([0, 1, 1]),
        ),
        metas=tuple(
            ImageMeta(
                path="x", image_id=number, original_size=(SIDE, SIDE), scale=(1.0, 1.0), pad=(0, 0)
            )
            for number in range(2)
        ),
    )


def test_the_stand_in_fails_where_apple_does() -> None:
    with apple_gpu() as device:
        values = torch.ones(3).to(device)
        assert isinstance(values, MpsTensor)
        with pytest.raises(TypeError, match="doesn't support float64"):
            values.double()
        with pytest.raises(TypeError, match="doesn't support float64"):
            torch.zeros(2, dtype=torch.float64).to(device)
        with pytest.raises(RuntimeError, match="same device"):
            values + torch.ones(3)
        assert in_float64(values).dtype is torch.float64


@pytest.mark.parametrize(
    ("text", "loss"),
    [
        (ANCHORS, "equalized"),
        pytest.param(ANCHORS, "bce", marks=pytest.mark.slow),
        pytest.param(ANCHORS, "ghm", marks=pytest.mark.slow),
        pytest.param(ANCHORS, "seesaw", marks=pytest.mark.slow),
        pytest.param(ANCHOR_FREE, "bce", marks=pytest.mark.slow),
    ],
    ids=["equalized", "bce", "ghm", "seesaw", "anchor-free"],
)
def test_training_and_detection_run_without_float64(text: str, loss: str, tmp_path: Path) -> None:
    loaded = experiment(text + LOSSES[loss], tmp_path)
    detector, criterion = parts(loaded)
    with apple_gpu() as device:
        learner = Learner(
            detector,
            move(criterion, device),
            loaded.experiment.train,
            batches_per_epoch=2,
            device=device,
        )
        learner.model.train()
        for iteration in range(2):
            assert learner.learn(batch(), iteration) is not None
        assert learner.step > 0
        learner.state()
        learner.vital_tensors()
        here = batch().to(device)
        budget = measure_budget(criterion, learner.model(here.pixels()), here.targets)
        assert budget.images == 2
        settings = loaded.experiment.eval.model_copy(update={"score_threshold": 0.0})
        found = Inference(learner.average.model, settings, fused=True)(here)
        for number, one in enumerate(found.detections):
            assert len(one) > 0
            assert len(detection_rows(number, one).scores) == len(one)


def test_detections_are_those_of_the_cpu(tmp_path: Path) -> None:
    loaded = experiment(ANCHORS, tmp_path)
    detector, _ = parts(loaded)
    settings = loaded.experiment.eval.model_copy(update={"score_threshold": 0.0})
    images = batch()
    expected = Inference(detector, settings, fused=True)(images)
    with apple_gpu() as device:
        found = Inference(detector.to(device), settings, fused=True)(images.to(device))
        for ours, theirs in zip(found.detections, expected.detections, strict=True):
            torch.testing.assert_close(ours.boxes.cpu(), theirs.boxes)
            torch.testing.assert_close(ours.scores.cpu(), theirs.scores)
