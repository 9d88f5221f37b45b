import csv
import logging
import math
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from configs.schema.train import WarmupSettings
from tests.utils.engine.toy import (
    BATCHES,
    CPU,
    ToyBatches,
    ToyModel,
    eval_result,
    toy_batch,
    toy_criterion,
    toy_settings,
    toy_trainer,
)
from utils.checkpoint.state import load_state
from utils.checkpoint.weights import load_weights
from utils.engine.learner import Learner
from utils.engine.loss_log import NotFiniteError
from utils.runtime.errors import UserError
from utils.runtime.machine.thread_trials import FixedThreads
from utils.structures.batch import Batch, Targets
from utils.structures.loss_terms import LossTerms
from utils.structures.results import EvalResult


def rows(path: Path) -> list[dict[str, str]]:
    with (path / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


class Scores:
    """An evaluation with given scores, which keeps the weights it was shown."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)
        self.seen: list[dict[str, Tensor]] = []

    def __call__(self, model: nn.Module) -> EvalResult:
        self.seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return eval_result(self.scores[len(self.seen) - 1])


def test_best_weights_are_the_average_of_the_best_epoch(tmp_path: Path) -> None:
    evaluate = Scores(0.1, 0.5, 0.3)
    summary = toy_trainer(tmp_path, evaluate=evaluate).run()
    tensors, metadata = load_weights(tmp_path / "best.safetensors")
    assert metadata == {"class_names": ["a", "b"], "epoch": 2, "map50_95": 0.5}
    assert tensors.keys() == evaluate.seen[1].keys()
    for name, value in evaluate.seen[1].items():
        assert torch.equal(tensors[name], value)
    assert (summary.best_epoch, summary.epochs) == (2, 3)
    assert summary.best_result is not None
    assert summary.best_result["map50_95"] == 0.5


def test_training_reduces_the_loss(tmp_path: Path) -> None:
    toy_trainer(tmp_path, epochs=6).run()
    totals = [
        sum(float(row[name]) for name in ("box", "objectness", "classification"))
        for row in rows(tmp_path)
    ]
    assert totals[-1] < totals[0] / 2


def test_validation_interval_includes_the_last_epoch(tmp_path: Path) -> None:
    toy_trainer(tmp_path, evaluate=Scores(0.1, 0.2, 0.3), epochs=5, eval_interval=2).run()
    assert [row["map50_95"] for row in rows(tmp_path)] == ["", "0.1", "", "0.2", "0.3"]


def test_patience_ends_training(tmp_path: Path) -> None:
    summary = toy_trainer(tmp_path, evaluate=Scores(0.5, 0.4, 0.5, 0.9), epochs=9, patience=2).run()
    assert (summary.epochs, summary.best_epoch) == (3, 1)
    assert len(rows(tmp_path)) == 3


def test_without_objects_the_last_epoch_is_kept_and_patience_ends_nothing(tmp_path: Path) -> None:
    """AP is undefined there: 0.0 would make the first epoch the best (FIELD F7)."""

    def nothing(model: nn.Module) -> EvalResult:
        return replace(eval_result(0.0), counts={"truths": 0}, average_recall={"100": 0.0})

    trainer = toy_trainer(tmp_path, evaluate=nothing, epochs=4, patience=1)
    summary = trainer.run()
    assert (summary.epochs, summary.best_epoch) == (4, 4)
    assert [(row["map50_95"], row["precision"]) for row in rows(tmp_path)] == [("", "")] * 4
    tensors, metadata = load_weights(tmp_path / "best.safetensors")
    assert (metadata["epoch"], metadata["map50_95"]) == (4, None)
    assert torch.equal(tensors["head.weight"], trainer.learner.average.model.head.weight)
    stored = nothing(trainer.learner.model).to_json()
    assert (stored["map50_95"], stored["map75"], stored["average_recall"]) == (
        None,
        None,
        {"100": None},
    )
    assert eval_result(0.0).to_json()["map50_95"] == 0.0


def test_without_validation_the_last_weights_are_kept(tmp_path: Path) -> None:
    trainer = toy_trainer(tmp_path, evaluate=None)
    summary = trainer.run()
    tensors, metadata = load_weights(tmp_path / "best.safetensors")
    assert metadata["epoch"] == 3
    assert torch.equal(tensors["head.weight"], trainer.learner.average.model.head.weight)
    assert (summary.best_epoch, summary.best_result) == (None, None)


def test_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b"
    for path in (first, second):
        toy_trainer(path).run()
    weights = [(path / "best.safetensors").read_bytes() for path in (first, second)]
    assert weights[0] == weights[1]
    toy_trainer(tmp_path / "c", model=ToyModel(1)).run()
    assert (tmp_path / "c" / "best.safetensors").read_bytes() != weights[0]


class PoisonedCriterion:
    """NaN (or a NaN gradient behind a finite loss) from call number `start` on."""

    def __init__(self, start: int, *, gradient_only: bool = False) -> None:
        self.start, self.gradient_only, self.calls = start, gradient_only, 0

    def __call__(self, predictions: Tensor, targets: Targets) -> LossTerms:
        self.calls += 1
        if self.calls >= self.start:
            if self.gradient_only:
                predictions.register_hook(lambda gradient: gradient * math.nan)
            else:
                predictions = predictions * math.nan
        return toy_criterion(predictions, targets)


@pytest.mark.parametrize(
    ("gradient_only", "batch"),
    [(False, 4), (True, 4), (True, 5)],  # batch 4 ends in a step, the gradients of batch 5 wait
)
def test_divergence_stops_and_keeps_the_good_checkpoint(
    tmp_path: Path, gradient_only: bool, batch: int
) -> None:
    criterion = PoisonedCriterion(5 + batch, gradient_only=gradient_only)
    trainer = toy_trainer(tmp_path, criterion=criterion, checkpoint_minutes=1e-9)
    with pytest.raises(NotFiniteError, match=rf"not finite.* at epoch 2, batch {batch};"):
        trainer.run()
    state = load_state(tmp_path / "last")
    assert (state["epoch"], state["batch"]) == (1, batch - 1)
    for value in state["learner"]["model"].values():
        assert value.isfinite().all()


def test_every_batch_is_a_batch_of_the_thread_trials(tmp_path: Path) -> None:
    class Counted(FixedThreads):
        amounts: ClassVar[list[int]] = []

        @contextmanager
        def batch(self, amount: int) -> Iterator[None]:
            self.amounts.append(amount)
            yield

    toy_trainer(tmp_path, epochs=2, threads=Counted()).run()
    whole, last = 4 * 3 * 8 * 8, 3 * 3 * 8 * 8
    assert Counted.amounts == 2 * [whole, whole, whole, whole, last]


def test_no_tensor_of_a_batch_outlives_it(tmp_path: Path) -> None:
    made: list[weakref.ref[Tensor]] = []

    def criterion(predictions: Tensor, targets: Targets) -> LossTerms:
        terms = toy_criterion(predictions, targets)
        made.extend(map(weakref.ref, (predictions, terms["box"])))
        return terms

    def nothing_is_left(epoch: int, batch: int) -> None:
        assert len(made) == 3 * (epoch * BATCHES + batch)
        assert not any(tensor() is not None for tensor in made)

    batches = ToyBatches(before_batch=nothing_is_left)
    trainer = toy_trainer(tmp_path, epochs=2, criterion=criterion, batches=batches)
    learn = trainer.learner.learn

    def watched(batch: Batch, iteration: int) -> LossTerms | None:
        terms = learn(batch, iteration)
        assert terms is not None
        made.append(weakref.ref(terms["box"]))
        return terms

    trainer.learner.learn = watched  # type: ignore[method-assign]
    trainer.run()
    assert len(made) == 3 * 2 * BATCHES


def test_a_step_returns_numbers_and_leaves_gradients_where_the_last_ones_were() -> None:
    settings = toy_settings(nominal_batch=8, warmup=WarmupSettings(epochs=0.0, min_iterations=0))
    learner = Learner(ToyModel(), toy_criterion, settings, batches_per_epoch=10, device=CPU)
    places = []
    for iteration in range(4):  # two batches a step: gradients wait after the first
        terms = learner.learn(toy_batch(iteration), iteration)
        assert terms is not None
        assert not terms.total.requires_grad
        places.append({n: g.data_ptr() for n, g in learner.gradients.waiting().items()})
    assert places[0]
    assert places == [places[0], {}, places[0], {}]


def test_wrong_number_of_batches_is_noticed(tmp_path: Path) -> None:
    class Short(ToyBatches):
        def __len__(self) -> int:
            return self.batches + 1

    with pytest.raises(RuntimeError, match="6 batches were announced but 5 came"):
        toy_trainer(tmp_path, batches=Short()).run()


def test_memory_shortage_names_the_keys(tmp_path: Path) -> None:
    def exhausted(predictions: Tensor, targets: Targets) -> LossTerms:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match=r"train\.batch_size=4 at train\.image_size=640"):
        toy_trainer(tmp_path, criterion=exhausted).run()


def test_accumulated_batches_equal_one_big_batch() -> None:
    """Without batch statistics and dropout, two batches of 4 give the step of both."""

    def plain() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten())

    def learner(**changes: Any) -> Learner:
        settings = toy_settings(nominal_batch=8, warmup={"epochs": 0.0}, clip_norm=0.0, **changes)
        return Learner(plain(), toy_criterion, settings, batches_per_epoch=10, device=CPU)

    halves, whole = learner(), learner(batch_size=8)
    batches = [toy_batch(0), toy_batch(1)]
    for iteration, batch in enumerate(batches):
        assert halves.step == 0
        halves.learn(batch, iteration)
    assert (halves.step, halves.pending) == (1, 0)
    both = toy_batch(0, 8)
    both.images[:4], both.images[4:] = batches[0].images, batches[1].images
    both.targets.boxes[:4], both.targets.boxes[4:] = (b.targets.boxes for b in batches)
    whole.learn(both, 0)
    for one, other in zip(halves.model.parameters(), whole.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("clip_norm", [0.01, 0.0])
def test_gradient_norm_is_clipped_once_per_step(clip_norm: float) -> None:
    model = ToyModel()
    settings = toy_settings(
        clip_norm=clip_norm,
        nominal_batch=8,
        warmup={"epochs": 0.0},
        optimizer={"name": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0},
    )
    learner = Learner(model, toy_criterion, settings, batches_per_epoch=10, device=CPU)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for iteration in range(2):
        learner.learn(toy_batch(iteration), iteration)
    moved = [new - old for new, old in zip(model.parameters(), before, strict=True)]
    length = torch.cat([change.flatten() for change in moved]).norm().item()
    if clip_norm:
        assert length == pytest.approx(clip_norm, rel=1e-3)
    else:
        assert length > 0.1


def test_waiting_gradients_are_used_at_the_end(tmp_path: Path) -> None:
    """15 batches, 2 a step after warm-up: the 15th would be lost."""
    trainer = toy_trainer(tmp_path, warmup={"epochs": 0.0})
    summary = trainer.run()
    assert summary.steps == 8
    assert trainer.learner.pending == 0


def test_log_file_gets_the_length_and_one_line_per_epoch_and_no_bar(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO):
        toy_trainer(tmp_path, evaluate=Scores(0.1, 0.5, 0.25)).run()
    first, *lines = [record.getMessage() for record in caplog.records]
    assert first.startswith("about 0:0")
    assert len(lines) == 3
    assert lines[1].startswith("epoch 2/3  box ")
    assert "img/s  mAP50-95 0.5000 (best)  mAP50 0.5000  remaining 0:0" in lines[1]
    assert "mAP50-95 0.2500  mAP50" in lines[2]
    assert capsys.readouterr().err == ""


def test_tensorboard_events_are_written_or_the_package_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("utils.engine.hooks.tensorboard.find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install tensorboard"):
        toy_trainer(tmp_path, tensorboard=True)
    monkeypatch.undo()
    pytest.importorskip("tensorboard")
    toy_trainer(tmp_path, tensorboard=True, epochs=1).run()
    events = list((tmp_path / "tensorboard").iterdir())
    assert len(events) == 1
    assert b"map50_95" in events[0].read_bytes()
