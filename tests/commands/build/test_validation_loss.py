"""The loss on the validation images: what it is, and that nothing else changes with it."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from commands.build.criterion import unscaled_criterion
from commands.build.evaluation import SplitEvaluation, build_evaluation
from commands.build.training_start import build_training_detector
from commands.build.validation_loss import ValidationLoss
from configs.reading.derive import derive
from configs.reading.load import LoadedExperiment, load_experiment
from data.records.load import Split, load_split
from models.detector import Detector
from models.inference import inference
from models.losses import DetectionCriterion
from models.losses.criterion import branch
from tests.processes import in_processes
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.structures.predictions import Predictions

CPU = torch.device("cpu")
SMALL = (
    "data.train_images=12", "data.val_images=6", "data.test_images=3", "data.side=96",
    "train.image_size=96", "train.batch_size=4", "train.nominal_batch=8", "train.workers=0",
    "train.threads=1", "train.epochs=2", "eval.batch_size=4", "train.cache=off",
)  # fmt: skip
RETINA = (
    "model.graph=models/retinanet-csp-n.yaml", "loss.objectness=null",
    "loss.assigner={name: iou}", "loss.box={name: smooth_l1, gain: 1.0, normalizer: positives}",
)  # fmt: skip
ANCHOR_FREE = (
    "model.graph=focal-n", "model.anchors=graph", "loss.objectness=null",
    "loss.assigner={name: task_aligned}", "loss.box={name: ciou, gain: 7.5, normalizer: targets}",
    "loss.distribution={name: dfl, gain: 1.5}",
)  # fmt: skip
LOSSES = {
    "anchors": (),
    "anchors, a count of gradients": (
        "loss.objectness={name: ghm}", "loss.classification={name: bce, normalizer: ema_positives}",
    ),
    "anchors, softmax with counts": ("loss.classification={name: seesaw}",),
    "anchors, softmax": ("loss.classification={name: softmax}",),
    "no objectness": (
        *RETINA,
        "loss.classification={name: focal, gamma: 2.0, alpha: 0.25, normalizer: positives}",
    ),
    "no objectness, sums of gradients": (
        *RETINA, "loss.classification={name: equalized_focal, normalizer: ema_positives}",
    ),
    "no anchors, no objectness": (
        *ANCHOR_FREE, "loss.classification={name: bce, target: aligned, normalizer: targets}",
    ),
    "no anchors": (
        "model.graph=yolox-nano", "model.anchors=graph", "loss.assigner={name: simota}",
        "loss.l1={gain: 1.0, last_epochs: 2}",
        "loss.classification={name: softmax_focal, gamma: 2.0}",
    ),
}  # fmt: skip


class Parts:
    """All that an evaluation of an experiment needs."""

    def __init__(self, dataset: Path, *settings: str) -> None:
        stated = (*SMALL, f"data.path={dataset}", *settings)
        given = load_experiment("quickstart.yaml", stated)
        self.split: Split = load_split(given.experiment.data, "val")
        train = load_split(given.experiment.data, "train")
        self.loaded: LoadedExperiment = derive(given, num_images=len(train.records))
        torch.manual_seed(0)
        start = build_training_detector(self.loaded, train)
        self.detector: Detector = start.detector.eval()
        experiment = start.loaded.experiment
        self.criterion: DetectionCriterion = unscaled_criterion(
            experiment.loss, experiment, start.detector, train
        )

    def evaluation(self, *, ranks: Ranks = ALONE, has_loss: bool = True) -> SplitEvaluation:
        return build_evaluation(
            self.detector,
            self.split,
            self.loaded.experiment,
            device=CPU,
            ranks=ranks,
            criterion=self.criterion if has_loss else None,
        )

    def expected(self) -> dict[str, float]:
        """Batch by batch with a fresh copy of the loss, as slowly as it reads."""
        sums: dict[str, float] = {}
        images = 0
        for batch in self.evaluation()._batches:
            criterion = copy.deepcopy(self.criterion).eval()
            with torch.no_grad():
                terms = criterion(self.detector(batch.pixels()), batch.targets)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(batch)
            images += len(batch)
        return {name: value / images for name, value in sums.items()}


@pytest.mark.slow
@pytest.mark.parametrize("settings", LOSSES.values(), ids=LOSSES)
def test_it_is_the_loss_of_every_head_and_changes_nothing(
    settings: tuple[str, ...], dataset: Path
) -> None:
    parts = Parts(dataset, *settings)
    # A running count that has begun, so that a change of it shows.
    first = next(iter(parts.evaluation()._batches))
    parts.criterion.train()(parts.detector(first.pixels()), first.targets)
    before = copy.deepcopy(parts.criterion.state_dict())
    with_loss = parts.evaluation()(parts.detector)
    for name, value in parts.criterion.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert parts.criterion.training
    assert with_loss.losses == pytest.approx(parts.expected(), rel=1e-4)
    assert all(value > 0 for name, value in with_loss.losses.items() if name != "l1")
    without = parts.evaluation(has_loss=False)(parts.detector)
    assert without.losses == {}
    assert replace(with_loss, losses={}, seconds={}) == replace(without, seconds={})
    assert "losses" not in with_loss.to_json()


def test_the_setting_leaves_it_out(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = Parts(dataset, "eval.loss=false")

    def forward(*_: object) -> None:
        raise AssertionError("the loss was computed")

    monkeypatch.setattr(parts.criterion, "forward", forward)
    assert parts.evaluation()(parts.detector).losses == {}


@pytest.mark.slow
def test_a_batch_counts_as_a_whole_however_it_is_computed(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mean over matches is not that of the means of parts."""
    parts = Parts(dataset)
    seen: list[int] = []
    real = parts.criterion.forward

    def forward(predictions: Predictions, targets: Any) -> Any:
        seen.append(len(predictions.levels[0]))
        return real(predictions, targets)

    monkeypatch.setattr(parts.criterion, "forward", forward)
    whole = parts.evaluation()(parts.detector).losses
    monkeypatch.setattr(inference, "PART_PIXELS", 1)
    assert parts.evaluation()(parts.detector).losses == pytest.approx(whole, rel=1e-5)
    sizes = [len(batch) for batch in parts.evaluation()._batches]
    assert seen == sizes * 2
    assert max(sizes) > 1


@pytest.mark.slow
def test_processes_reach_the_numbers_of_one(dataset: Path) -> None:
    """Three batches among two processes: one has two of them, and none waits for the other."""
    parts = Parts(
        dataset, "eval.batch_size=2", "loss.objectness={name: ghm}",
        "loss.classification={name: bce, normalizer: ema_positives}",
    )  # fmt: skip
    alone = parts.evaluation()(parts.detector).losses

    def work(ranks: Ranks) -> dict[str, float]:
        return dict(parts.evaluation(ranks=ranks)(parts.detector).losses)

    for own in in_processes(2, work):
        assert own == pytest.approx(alone, rel=1e-6)


def test_a_process_without_a_batch_knows_the_means_of_the_others() -> None:
    class Two(Ranks):
        def gather(self, value: Any) -> list[Any]:
            return [value, (("box", "l1"), [3, 1], [[1.0, 4.0], [5.0, 0.0]])]

    loss = ValidationLoss(torch.nn.Module(), Two())  # type: ignore[arg-type]
    assert loss.means() == {"box": 2.0, "l1": 3.0}
    alone = ValidationLoss(torch.nn.Module())  # type: ignore[arg-type]
    assert alone.means() == {}


def test_sums_over_processes_are_back_after_a_batch_and_after_an_error(
    dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = Parts(dataset)
    loss, batch = ValidationLoss(parts.criterion), next(iter(parts.evaluation()._batches))
    monkeypatch.setattr(branch, "num_ranks", lambda: 0)
    from models import distributed

    monkeypatch.setattr(distributed.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed.dist, "get_world_size", lambda: 7)
    loss.add(parts.detector(batch.pixels()), batch.targets)
    assert distributed.num_ranks() == 7
    with pytest.raises(ValueError, match="objectness"):
        loss.add(
            replace(
                parts.detector(batch.pixels()),
                decoder=replace(parts.detector.head.decoder, has_objectness=False),  # type: ignore[type-var]
            ),
            batch.targets,
        )
    assert distributed.num_ranks() == 7
    assert parts.criterion.training
