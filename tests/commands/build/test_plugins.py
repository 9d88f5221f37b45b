"""Losses, assigners and samplers of a user's own module, named by an experiment."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from commands.build.criterion import unscaled_criterion
from configs.errors import ConfigError
from configs.reading.derive import derive
from configs.reading.load import LoadedExperiment, load_experiment
from data.loading.image_weights import build_draw
from data.records.load import Split, load_split
from models.custom import CUSTOM, built
from models.detector import build_detector
from models.losses.criterion.budget import measure_budget
from utils.runtime.errors import UserError
from utils.structures.batch import Targets

MODULE = """
import torch
from torch import nn
from models.assign.anchor_ratio import AnchorRatioAssigner

class Doubled(nn.Module):
    def __init__(self, *, factor=2.0):
        super().__init__()
        self.factor = factor

    def forward(self, logits, targets):
        loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return self.factor * loss

class Sides(nn.Module):
    def forward(self, boxes, truths, anchors):
        return (boxes - truths).abs().mean(dim=1)

class Wide(AnchorRatioAssigner):
    def __init__(self):
        super().__init__(max_ratio=4.0)

def by_objects(records):
    return [1 + len(record.boxes) for record in records]

def wrong(records):
    return [0.0]
"""


@pytest.fixture(autouse=True)
def _module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_parts.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "own_parts", raising=False)
    CUSTOM.clear()


def loaded(dataset: Path, *settings: str) -> tuple[LoadedExperiment, Split]:
    data = ("data.train_images=12", "data.val_images=6", "data.test_images=3", "data.side=96")
    stated = (*data, f"data.path={dataset}", "train.image_size=96", "train.batch_size=2")
    found = derive(load_experiment("quickstart.yaml", (*stated, *settings)), num_images=12)
    return found, load_split(found.experiment.data, "train")


def terms(dataset: Path, *settings: str) -> dict[str, float]:
    experiment, split = loaded(dataset, *settings)
    torch.manual_seed(0)
    detector = build_detector(experiment.graph, num_classes=len(split.class_names))
    criterion = unscaled_criterion(
        experiment.experiment.loss, experiment.experiment, detector, split
    )
    targets = Targets(
        boxes=torch.tensor([[3.0, 3, 40, 40], [10, 10, 60, 80]]),
        labels=torch.tensor([0, 1]),
        image_index=torch.tensor([0, 1]),
    )
    predictions = detector.train()(torch.rand(2, 3, 96, 96, generator=torch.manual_seed(1)))
    found = criterion(predictions, targets)
    found.total.backward()
    assert measure_budget(criterion, predictions, targets).images == 2
    return {name: value.item() for name, value in zip(found.names, found.values, strict=True)}


def custom(branch: str, name: str, **arguments: float) -> str:
    return f"loss.{branch}={{name: custom, object: '{name}', arguments: {dict(arguments)}}}"


@pytest.mark.slow
def test_losses_of_a_module(dataset: Path) -> None:
    plain = terms(dataset, "loss.objectness.name=bce", "loss.classification.name=bce")
    own = terms(
        dataset,
        custom("objectness", "own_parts.Doubled"),
        custom("classification", "own_parts:Doubled", factor=3.0),
    )
    assert own["objectness"] == pytest.approx(2 * plain["objectness"], rel=1e-5)
    assert own["classification"] == pytest.approx(3 * plain["classification"], rel=1e-5)
    assert own["box"] == pytest.approx(plain["box"], rel=1e-5)
    sides = terms(dataset, custom("box", "own_parts.Sides"))
    assert sides["box"] != pytest.approx(plain["box"])


@pytest.mark.slow
def test_an_assigner_of_a_module(dataset: Path) -> None:
    plain = terms(dataset)
    own = terms(dataset, "loss.assigner={name: custom_anchors, object: own_parts.Wide}")
    assert own == plain


def test_a_sampler_of_a_module(dataset: Path) -> None:
    experiment, split = loaded(
        dataset, "train.sampler={name: custom, object: own_parts.by_objects}"
    )
    draw = build_draw(experiment.experiment.train.sampler, split.records)
    weights = np.array([1 + len(record.boxes) for record in split.records])
    rng, epochs = np.random.default_rng(0), 200
    counts = np.zeros(len(weights))
    for _ in range(epochs):
        for index, _ in draw(len(weights), rng):
            counts[index] += 1
    expected = weights / weights.sum() * len(weights)
    np.testing.assert_allclose(counts / epochs, expected, atol=0.15)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ((custom("box", "own_parts.None_such"),), r"loss\.box\.object: .* has no None_such"),
        ((custom("box", "no_module_here.X"),), "there is no module no_module_here"),
        ((custom("objectness", "own_parts.Doubled", power=1.0),), "own_parts.Doubled cannot be bu"),
    ],
)
def test_what_cannot_be_used_is_one_line(
    settings: tuple[str, ...], error: str, dataset: Path
) -> None:
    with pytest.raises((UserError, ConfigError), match=error) as found:
        terms(dataset, *settings)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("name", ["Doubled", "own parts.X", "a..b", "os.system('x')"])
def test_names_that_are_none(name: str, dataset: Path) -> None:
    with pytest.raises(ConfigError, match=r"loss\.box\.object"):
        loaded(dataset, f'loss.box={{name: custom, object: "{name}"}}')


def test_weights_that_are_none(dataset: Path) -> None:
    experiment, split = loaded(dataset, "train.sampler={name: custom, object: own_parts.wrong}")
    with pytest.raises(UserError, match="a weight above 0 for each of 12 images"):
        build_draw(experiment.experiment.train.sampler, split.records)


def test_nothing_is_imported_that_no_training_named() -> None:
    with pytest.raises(ConfigError, match="imported by a training alone"):
        built("own_parts.Doubled", {})
    assert "own_parts" not in sys.modules
