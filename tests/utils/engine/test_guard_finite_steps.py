"""Bad gradients are refused at once, or without waiting and told later: the weights never move."""

import math

import pytest
import torch
from torch import nn

from configs.schema.train import AdamWSettings, SgdSettings
from tests.utils.engine.toy import CPU, ToyModel, toy_batch, toy_criterion, toy_settings
from utils.engine.guard import FiniteSteps
from utils.engine.learner import Learner
from utils.engine.loss_log import READ_EVERY, NotFiniteError

BATCHES = 10


def toy_learner(**changes: object) -> Learner:
    settings = toy_settings(nominal_batch=4, warmup={"epochs": 0.0}, **changes)
    learner = Learner(ToyModel(), toy_criterion, settings, batches_per_epoch=BATCHES, device=CPU)
    learner.reads_at_once = False
    return learner


def snapshot(learner: Learner) -> list[torch.Tensor]:
    memory = [v for kept in learner.optimizer.state.values() for v in kept.values()]
    return [value.detach().clone() for value in (*learner.model.parameters(), *memory)]


def break_gradients(learner: Learner, at: int) -> None:
    """Make the loss of iteration `at` infinite."""
    compute = learner.compute

    def compute_or_break(batch: object, iteration: int, observe: object = None) -> object:
        terms = compute(batch, iteration, observe)
        if iteration == at:
            terms["box"].register_hook(lambda gradient: gradient * math.inf)
        return terms

    learner.compute = compute_or_break


@pytest.mark.parametrize("clip_norm", [10.0, 0.0])
@pytest.mark.parametrize("optimizer", [SgdSettings(), AdamWSettings(name="adamw")])
def test_from_the_bad_step_on_nothing_moves_and_reading_names_it(
    optimizer: object, clip_norm: float
) -> None:
    learner = toy_learner(optimizer=optimizer, clip_norm=clip_norm)
    break_gradients(learner, at=12)
    for iteration in range(12):
        learner.learn(toy_batch(iteration), iteration)
    before = snapshot(learner)
    for iteration in range(12, 16):
        learner.learn(toy_batch(iteration), iteration)
    with pytest.raises(NotFiniteError, match="gradient is not finite") as error:
        learner.require_finite_steps()
    assert error.value.batch == 2
    assert learner.step == 12
    for now, then in zip(snapshot(learner), before, strict=True):
        assert torch.equal(now, then)


def test_good_steps_are_those_of_waiting() -> None:
    later, at_once = toy_learner(), toy_learner()
    at_once.reads_at_once = True
    for iteration in range(5):
        later.learn(toy_batch(iteration), iteration)
        at_once.learn(toy_batch(iteration), iteration)
    later.require_finite_steps()
    for one, other in zip(snapshot(later), snapshot(at_once), strict=True):
        assert torch.equal(one, other)


def test_it_is_noticed_soon_without_being_asked() -> None:
    learner = toy_learner()
    break_gradients(learner, at=3)
    for iteration in range(READ_EVERY - 1):
        learner.learn(toy_batch(iteration), iteration)
    with pytest.raises(NotFiniteError) as error:
        learner.learn(toy_batch(0), READ_EVERY - 1)
    assert error.value.batch == 3


def test_it_is_noticed_before_anything_is_saved() -> None:
    learner = toy_learner()
    break_gradients(learner, at=0)
    learner.learn(toy_batch(0), 0)
    with pytest.raises(NotFiniteError):
        learner.vital_tensors()


def test_an_optimizer_that_cannot_refuse_is_asked_at_once() -> None:
    parameter = nn.Parameter(torch.ones(2))
    steps = FiniteSteps(torch.optim.SGD([parameter], lr=0.1), batches_per_epoch=BATCHES)
    steps.admit(torch.tensor(1.0), 0, at_once=False)
    with pytest.raises(NotFiniteError):
        steps.admit(torch.tensor(math.nan), 1, at_once=False)
