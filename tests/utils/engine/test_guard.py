"""Batches that are not finite: the training stops and says where, or goes on without them."""

import logging
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from configs.schema.train import WarmupSettings
from tests.utils.engine.test_resume import KilledError, bits, dies_before, outcome
from tests.utils.engine.toy import ToyModel, toy_batch, toy_criterion, toy_settings, toy_trainer
from utils.checkpoint.state import load_state
from utils.engine.diagnosis import diagnose, load_replay
from utils.engine.guard import MOST_IN_A_ROW
from utils.engine.learner import Learner
from utils.engine.loss_log import NotFiniteError
from utils.structures.batch import Targets
from utils.structures.loss_terms import LossTerms

CPU = torch.device("cpu")


def key(targets: Targets) -> float:
    return float(targets.boxes.sum())


class Poison:
    """NaN in loss or gradient for certain batches, however often they are computed."""

    def __init__(self, *bad: int, part: str = "loss") -> None:
        self.bad = {key(toy_batch(number).targets) for number in bad}
        self.part = part

    def __call__(self, predictions: Tensor, targets: Targets) -> LossTerms:
        if key(targets) in self.bad:
            if self.part == "gradient":
                predictions.register_hook(lambda gradient: gradient * math.nan)
            else:
                terms = toy_criterion(predictions, targets)
                box, objectness, classification = terms.values
                return replace(terms, values=(box, objectness * math.inf, classification))
        return toy_criterion(predictions, targets)


@pytest.mark.parametrize(
    ("part", "words"),
    [("loss", "began in the loss term objectness"), ("gradient", "began in the gradient of head")],
)
def test_stop_names_step_tensor_and_images_and_saves_the_batch(
    part: str, words: str, tmp_path: Path
) -> None:
    criterion = Poison(1003, part=part)  # epoch 2, batch 4: the second batch of its step
    trainer = toy_trainer(tmp_path, criterion=criterion, checkpoint_minutes=1e-9)
    with pytest.raises(NotFiniteError) as error:
        trainer.run()
    text = str(error.value)
    assert "at epoch 2, batch 4; step " in text
    assert words in text
    assert "images x, x, x and 1 more" in text
    saved = tmp_path / "not_finite" / "epoch2-batch4.safetensors"
    assert f"--replay {saved}" in text
    assert "lower train.optimizer.lr" in text
    replay = load_replay(saved)
    assert torch.equal(replay.batch.images, toy_batch(1003).images)
    assert (replay.iteration, replay.batch.metas) == (8, toy_batch(1003).metas)
    state = load_state(tmp_path / "last")
    assert (state["epoch"], state["batch"]) == (1, 3)
    for value in trainer.learner.model.state_dict().values():
        assert not value.is_floating_point() or value.isfinite().all()


def test_first_bad_tensor_is_found_in_weights_activations_terms_and_gradients() -> None:
    def learner(model: nn.Module, criterion: Any = toy_criterion) -> Learner:
        return Learner(model, criterion, toy_settings(), batches_per_epoch=5, device=CPU)

    batch = toy_batch(0)
    broken = ToyModel()
    with torch.no_grad():
        broken.norm.bias[2] = math.nan
    assert diagnose(learner(broken), batch, 0) == "norm.bias of the network itself"
    large = ToyModel()
    with torch.no_grad():
        large.second.weight.fill_(1e38)
    before = bits(dict(large.state_dict()))
    assert diagnose(learner(large), batch, 0) == "the output of second"
    assert bits(dict(large.state_dict())) == before
    assert diagnose(learner(ToyModel(), Poison(0)), batch, 0) == "the loss term objectness"
    bad_gradient = diagnose(learner(ToyModel(), Poison(0, part="gradient")), batch, 0)
    assert bad_gradient == "the gradient of head.bias"
    assert "nothing" in diagnose(learner(ToyModel()), batch, 0)


@pytest.mark.parametrize("part", ["loss", "gradient"])
def test_skip_goes_on_as_if_the_batch_had_not_been(
    part: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = toy_settings(nominal_batch=4, non_finite="skip")
    learners = [
        Learner(ToyModel(), Poison(1, part=part), settings, batches_per_epoch=5, device=CPU)
        for _ in range(2)
    ]
    for learner in learners:
        learner.model.train()
    with caplog.at_level(logging.WARNING):
        for iteration in (0, 1, 2):
            terms = learners[0].learn(toy_batch(iteration), iteration)
            assert (terms is None) == (iteration == 1)
    for iteration in (0, 2):
        learners[1].learn(toy_batch(iteration), iteration)
    first, second = (bits(learner.state()) for learner in learners)
    assert first.pop("left_out") == 1
    assert second.pop("left_out") == 0
    assert first == second
    assert "skipped: " in caplog.text


@pytest.mark.slow
def test_skipping_trainings_resume_exactly_and_say_where(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings: dict[str, Any] = {"non_finite": "skip", "criterion": Poison(2, 1001)}
    with caplog.at_level(logging.WARNING):
        straight = toy_trainer(tmp_path / "straight", **settings)
        straight.run()
    assert "at epoch 1, batch 3; step" in caplog.text
    assert "epoch2-batch2.safetensors" in caplog.text
    path = tmp_path / "killed"
    with pytest.raises(KilledError):
        toy_trainer(path, batches=dies_before((1, 3)), checkpoint_minutes=1e-9, **settings).run()
    resumed = toy_trainer(path, seed=7, **settings)
    resumed.resume()
    resumed.run()
    shutil.rmtree(path / "not_finite")
    assert outcome(path, resumed) == outcome(tmp_path / "straight", straight)


def test_too_many_in_a_row_end_the_training(tmp_path: Path) -> None:
    numbers = [epoch * 1000 + batch for epoch in range(3) for batch in range(5)]
    trainer = toy_trainer(tmp_path, criterion=Poison(*numbers[2:4]), non_finite="skip")
    assert trainer.run().batches_left_out == 2
    everything = Poison(*numbers)
    everything.bad |= {key(toy_batch(number, 3).targets) for number in numbers}
    hopeless = toy_trainer(tmp_path / "x", criterion=everything, non_finite="skip")
    with pytest.raises(NotFiniteError, match="at epoch 3, batch 1;"):
        hopeless.run()
    assert hopeless.learner.guard.left_out == MOST_IN_A_ROW


def small_memory(most: int) -> Any:
    """A criterion of a device that holds `most` images."""

    def criterion(predictions: Tensor, targets: Targets) -> LossTerms:
        if len(predictions) > most:
            raise torch.OutOfMemoryError("fake")
        return toy_criterion(predictions, targets)

    return criterion


class PlainModel(nn.Module):
    """No batch statistics and no random numbers: halves must give what the whole gives."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 4, 3)
        self.head = nn.Linear(4, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(torch.relu(self.body(images)).mean((2, 3)))


@pytest.mark.parametrize("most", [1, 2, 3])
def test_halved_batches_learn_what_whole_ones_learn(most: int) -> None:
    states = []
    for criterion in (toy_criterion, small_memory(most)):
        learner = Learner(
            PlainModel(), criterion, toy_settings(oom="halve"), batches_per_epoch=5, device=CPU
        )
        terms = [learner.learn(toy_batch(n, 4 if n < 4 else 3), n) for n in range(5)]
        states.append((learner, terms))
    (whole, expected), (halved, found) = states
    assert halved.micro_batches.parts == (4 if most == 1 else 2)
    assert (whole.step, whole.pending) == (halved.step, halved.pending)
    for name, value in whole.model.state_dict().items():
        torch.testing.assert_close(halved.model.state_dict()[name], value)
    for one, other in zip(expected, found, strict=True):
        assert one is not None
        assert other is not None
        torch.testing.assert_close(one.total, other.total)
        assert int(one.num_foreground) == int(other.num_foreground)


def test_memory_that_fails_in_the_second_half_counts_nothing_twice() -> None:
    calls = 0

    def failing_once(predictions: Tensor, targets: Targets) -> LossTerms:
        nonlocal calls
        calls += 1
        if calls == 4:  # the second half of the second batch, while the first one's waits
            raise torch.OutOfMemoryError("fake")
        return toy_criterion(predictions, targets)

    gradients = []
    settings = toy_settings(oom="halve", nominal_batch=64, warmup=WarmupSettings(epochs=0))
    for criterion in (toy_criterion, failing_once):
        learner = Learner(PlainModel(), criterion, settings, batches_per_epoch=9, device=CPU)
        learner.micro_batches.parts = 2
        for number in range(2):
            learner.learn(toy_batch(number), number)
        gradients.append([p.grad.clone() for p in learner.model.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_halving_has_to_be_allowed_and_ends_at_one_image() -> None:
    for oom, most in (("stop", 2), ("halve", 0)):
        learner = Learner(
            PlainModel(), small_memory(most), toy_settings(oom=oom), batches_per_epoch=5, device=CPU
        )
        with pytest.raises(torch.OutOfMemoryError):
            learner.learn(toy_batch(0), 0)
