"""Losses of another size, brought to the pull of cross-entropy."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from commands.build import criterion as loss_scale
from commands.build.criterion import (
    build_training_criterion,
    match_scales,
    matched_branches,
    scales_from_json,
    scales_to_json,
)
from commands.build.training_start import build_training_detector
from configs.reading.derive import derive
from configs.reading.load import LoadedExperiment, load_experiment
from data.loading.loader import build_train_batches
from data.records.load import Split, load_split
from models.detector import Detector
from models.losses.criterion.gradient_size import gradient_sizes
from utils.runtime.errors import UserError
from utils.runtime.files.run_folder import RunFolder
from utils.runtime.seeding import seed_process

CPU = torch.device("cpu")
TINY = (
    "data.train_images=8", "data.val_images=2", "data.test_images=1", "data.side=96",
    "train.image_size=96", "train.batch_size=4", "train.nominal_batch=4", "train.workers=0",
    "train.precision=float32", "train.warmup.min_iterations=3", "train.warmup.epochs=1",
    "model.anchors=graph",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    loaded: LoadedExperiment
    split: Split
    detector: Detector


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("generated") / "data"


def setting(dataset: Path, *overrides: str) -> Setting:
    stated = load_experiment("configs/quickstart.yaml", [*TINY, f"data.path={dataset}", *overrides])
    split = load_split(stated.experiment.data, "train")
    loaded = derive(stated, num_images=len(split.records))
    seed_process(0)
    start = build_training_detector(loaded, split)
    return Setting(loaded=start.loaded, split=split, detector=start.detector)


def test_without_the_key_nothing_is_measured(dataset: Path) -> None:
    given = setting(dataset)
    assert matched_branches(given.loaded.experiment.loss) == []
    assert match_scales(given.loaded, given.detector, given.split, device=CPU) == {}


@pytest.mark.slow
def test_cross_entropy_matches_itself(dataset: Path) -> None:
    given = setting(dataset, "loss.objectness.scale=matched", "loss.classification.scale=matched")
    before = {name: value.clone() for name, value in given.detector.state_dict().items()}
    matches = match_scales(given.loaded, given.detector, given.split, device=CPU)
    assert {name: match.after_warmup for name, match in matches.items()} == {
        "objectness": 1.0,
        "classification": 1.0,
    }
    for name, value in given.detector.state_dict().items():
        assert torch.equal(value, before[name]), name


@pytest.mark.slow
def test_cross_entropy_by_targets_matches_itself_on_an_anchor_free_head(dataset: Path) -> None:
    given = setting(
        dataset,
        "model.graph=models/focal-n.yaml",
        "model.anchors=graph",
        "loss.assigner={name: task_aligned}",
        "loss.objectness=null",
        "loss.box={name: ciou, gain: 7.5, normalizer: targets}",
        "loss.classification={name: bce, normalizer: targets, scale: matched}",
    )
    matches = match_scales(given.loaded, given.detector, given.split, device=CPU)
    assert {name: match.after_warmup for name, match in matches.items()} == {"classification": 1.0}


@pytest.mark.slow
def test_half_the_loss_is_doubled(dataset: Path) -> None:
    given = setting(
        dataset, "loss.objectness={name: bce_alpha, alpha: 0.5, scale: matched, gain: 4.0}"
    )
    matches = match_scales(given.loaded, given.detector, given.split, device=CPU)
    assert list(matches) == ["objectness"]
    assert matches["objectness"].after_warmup == pytest.approx(2.0, rel=1e-6)
    assert matches["objectness"].at_start == pytest.approx(2.0, rel=1e-6)
    assert matches["objectness"].warmup_iterations == 3


FOCAL = (
    "{name: focal, gamma: 2.0, alpha: 0.25, form: linear, scale: matched, normalizer: positives}"
)


def test_the_multiplier_makes_the_gradients_equal(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the weights it was measured with: here those of the start."""
    monkeypatch.setattr(loss_scale, "_warm_up", lambda learner, batches, epochs: 0)
    given = setting(dataset, f"loss.objectness={FOCAL}", f"loss.classification={FOCAL}")
    focal = build_training_criterion(
        given.loaded, given.detector, given.split, RunFolder(tmp_path), device=CPU
    )
    plain = setting(dataset)
    cross_entropy = build_training_criterion(
        plain.loaded, plain.detector, plain.split, RunFolder(tmp_path / "other"), device=CPU
    )
    unaugmented = loss_scale._unaugmented(given.loaded.experiment)
    batches = build_train_batches(given.split.records, unaugmented, stride=32)
    sizes = {"objectness": [0.0, 0.0], "classification": [0.0, 0.0]}
    given.detector.eval()
    for batch in batches.epoch(0):
        with torch.no_grad():
            predictions = given.detector(batch.pixels())
        for index, criterion in enumerate((focal, cross_entropy)):
            for name, size in gradient_sizes(criterion, predictions, batch.targets).items():
                sizes[name][index] += size
    for name, (own, reference) in sizes.items():
        assert own == pytest.approx(reference, rel=1e-5), name
        assert getattr(focal, name).multiplier != 1.0


@pytest.mark.slow
def test_a_begun_run_keeps_its_multipliers(dataset: Path, tmp_path: Path) -> None:
    given = setting(dataset, f"loss.objectness={FOCAL}")
    folder = RunFolder(tmp_path)
    first = build_training_criterion(given.loaded, given.detector, given.split, folder, device=CPU)
    written = json.loads(folder.loss_scale.read_text())
    assert scales_to_json(scales_from_json(written)) == written
    written["objectness"]["after_warmup"] = 3.5
    folder.loss_scale.write_text(json.dumps(written))
    again = build_training_criterion(given.loaded, given.detector, given.split, folder, device=CPU)
    assert first.objectness.multiplier not in (1.0, 3.5)
    assert again.objectness.multiplier == 3.5


@pytest.mark.slow
def test_a_loss_without_gradient_has_no_scale(dataset: Path) -> None:
    given = setting(dataset, "loss.objectness={name: bce, gain: 0.0, scale: matched}")
    with pytest.raises(UserError, match=r"loss\.objectness\.scale: matched has nothing to match"):
        match_scales(given.loaded, given.detector, given.split, device=CPU)
