"""Compiled steps learn what the others learn, and everything beside them stays as it was.

Without a compiler: torch's backend "aot_eager" takes the step apart and puts it together as the
real one does, and then runs the operators one by one. The real one is in test_compiled_code.py.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from configs.schema.loss import LossSettings
from configs.schema.train import WarmupSettings
from models.losses import build_criterion
from models.losses.criterion.budget import measure_budget
from tests.models.factories import tiny_detector
from tests.processes import in_processes
from tests.utils.engine.test_processes import SIDE, batch
from tests.utils.engine.test_resume import KilledError, dies_before, outcome
from tests.utils.engine.toy import (
    BATCHES,
    ToyModel,
    toy_batch,
    toy_criterion,
    toy_settings,
    toy_trainer,
)
from utils.engine.compiled import Compiler, uncompiled
from utils.engine.learner import Learner
from utils.engine.loss_log import NotFiniteError
from utils.engine.optimization.layer_rules import LayerRules
from utils.engine.trainer import Trainer
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.errors import UserError
from utils.structures.batch import Targets
from utils.structures.loss_terms import LossTerms

TOLERANCE = 1e-5
"""Of the largest value of a tensor: the operators are the same, but not the order of every sum."""
BATCH_SIZE = 4


class CountingBackend:
    """The backend of these tests; counts what it compiled and how often that ran."""

    def __init__(self) -> None:
        self.compiled = 0
        self.runs = 0

    def __call__(self, graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
        from torch._dynamo.backends.debugging import aot_eager

        self.compiled += 1
        inner = aot_eager(graph, inputs)

        def run(*arguments: Any) -> Any:
            self.runs += 1
            return inner(*arguments)

        return run


@pytest.fixture(autouse=True)
def _forget_code() -> Iterator[None]:
    """Let no test meet the limit on versions of one function that those before have used up."""
    yield
    torch.compiler.reset()


def learner(
    compiler: Compiler | None = None,
    model: nn.Module | None = None,
    criterion: Any = toy_criterion,
    *,
    ranks: Ranks = ALONE,
    **changes: Any,
) -> Learner:
    """A learner without anything random; of several processes each takes its part of 4 images."""
    settings = toy_settings(
        epochs=100,
        warmup=WarmupSettings(epochs=0),
        **{"batch_size": BATCH_SIZE // ranks.size, "nominal_batch": BATCH_SIZE, **changes},
    )
    subject = Learner(
        model or quiet_model(),
        criterion,
        settings,
        batches_per_epoch=10,
        device=torch.device("cpu"),
        ranks=ranks,
    )
    if compiler is not None:
        subject.compile(compiler)
    subject.model.train()
    return subject


def quiet_model() -> ToyModel:
    model = ToyModel()
    model.dropout.p = 0.0
    return model


def detector_learner(compiler: Compiler | None = None) -> Learner:
    criterion = build_criterion(LossSettings(), num_classes=3, num_levels=2, image_size=SIDE)
    return learner(compiler, tiny_detector(), criterion, nominal_batch=2 * BATCH_SIZE)


def aot(backend: Any = "aot_eager", size: int = BATCH_SIZE) -> Compiler:
    return Compiler(batch_size=size, backend=backend)


def assert_close(first: dict[str, Tensor], second: dict[str, Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, value in first.items():
        difference = (second[name].double() - value.double()).abs().max()
        assert difference <= TOLERANCE * value.double().abs().max(), name


@pytest.mark.slow
def test_loss_gradient_and_budget_of_a_detector_are_those_of_the_uncompiled_step() -> None:
    plain, compiled = detector_learner(), detector_learner(aot())
    budgets = [watched_budgets(subject) for subject in (plain, compiled)]
    for iteration in range(3):
        expected = plain.learn(batch(iteration), iteration)
        terms = compiled.learn(batch(iteration), iteration)
        assert expected is not None
        assert terms is not None
        torch.testing.assert_close(terms.total, expected.total, rtol=TOLERANCE, atol=0)
    assert (compiled.step, compiled.pending) == (1, 1)
    assert len(compiled.gradients.waiting()) > 10
    assert_close(plain.gradients.waiting(), compiled.gradients.waiting())
    assert_close(plain.model.state_dict(), compiled.model.state_dict())
    assert_close(plain.average.model.state_dict(), compiled.average.model.state_dict())
    assert len(budgets[1]) == 3
    for expected_sums, sums in zip(*budgets, strict=True):
        torch.testing.assert_close(sums, expected_sums, rtol=TOLERANCE, atol=1e-7)


def watched_budgets(subject: Learner) -> list[Tensor]:
    """Return the list that gets the objectness sums of each batch."""
    seen: list[Tensor] = []

    def observe(predictions: Any, targets: Targets, iteration: int) -> None:
        budget = measure_budget(subject.criterion, predictions, targets)  # type: ignore[arg-type]
        seen.append(budget.branches["objectness"].sums.sum(dim=(0, 1, 2, 3)))

    subject.observe = observe
    return seen


@pytest.mark.slow
def test_the_smaller_last_batch_is_not_compiled_for() -> None:
    backend = CountingBackend()
    plain, compiled = learner(), learner(aot(backend))
    for iteration, images in enumerate((4, 3, 4, 3, 4)):
        plain.learn(toy_batch(iteration, images), iteration)
        compiled.learn(toy_batch(iteration, images), iteration)
    assert (backend.compiled, backend.runs) == (1, 3)
    assert_close(plain.model.state_dict(), compiled.model.state_dict())


@pytest.mark.slow
def test_names_in_states_do_not_change() -> None:
    plain, compiled = learner(), learner(aot())
    for subject in (plain, compiled):
        subject.learn(toy_batch(0), 0)
    for part in ("model", "optimizer", "gradients"):
        assert compiled.state()[part].keys() == plain.state()[part].keys()
    assert compiled.average.state()["model"].keys() == plain.average.state()["model"].keys()


@pytest.mark.slow
def test_layers_may_begin_to_learn_later() -> None:
    backend = CountingBackend()
    plain, compiled = learner(), learner(aot(backend))
    body = frozenset(name for name in plain.model.state_dict() if not name.startswith("head"))
    start = quiet_model().state_dict()
    for iteration in range(4):
        for subject in (plain, compiled):
            subject.layers.use(LayerRules(frozen=body if iteration < 2 else frozenset()))
            subject.model.train()
            subject.learn(toy_batch(iteration), iteration)
        rests = all(torch.equal(compiled.model.state_dict()[name], start[name]) for name in body)
        assert rests == (iteration < 2)
    assert backend.compiled == 2
    assert_close(plain.model.state_dict(), compiled.model.state_dict())


class ToyLoss(nn.Module):
    """The toy criterion with a state, as losses with running averages have."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matches", torch.zeros(()))

    def forward(self, predictions: Tensor, targets: Targets) -> LossTerms:
        self.matches += len(targets)
        return toy_criterion(predictions[: len(targets)], targets)


@pytest.mark.slow
def test_a_compiled_loss_is_the_same_loss_for_any_number_of_targets() -> None:
    backend = CountingBackend()
    compiler = Compiler(batch_size=BATCH_SIZE, has_loss=True, backend=backend)
    plain, compiled = learner(criterion=ToyLoss()), learner(compiler, criterion=ToyLoss())
    for iteration, images in enumerate((4, 3, 4, 2, 4, 4)):
        given = toy_batch(iteration, images)
        given = replace(given, targets=first_targets(given.targets, 4 - iteration % 3))
        for subject in (plain, compiled):
            subject.learn(given, iteration)
    assert (backend.compiled, backend.runs) == (2, 4 + 4)  # the network and the loss
    assert_close(plain.model.state_dict(), compiled.model.state_dict())
    assert_close(plain.criterion_state(), compiled.criterion_state())
    assert float(compiled.criterion_state()["matches"]) == 4 + 3 + 2 + 2 + 3 + 2


def first_targets(targets: Targets, count: int) -> Targets:
    return Targets(
        boxes=targets.boxes[:count],
        labels=targets.labels[:count],
        image_index=targets.image_index[:count],
    )


def compiled_trainer(path: Path, **changes: Any) -> Trainer:
    trainer = toy_trainer(path, **changes)
    trainer.learner.compile(aot())
    return trainer


@pytest.mark.slow
def test_killed_and_resumed_equals_never_stopped(tmp_path: Path) -> None:
    straight = compiled_trainer(tmp_path / "straight")
    straight.run()
    expected = outcome(tmp_path / "straight", straight)
    for position in (2, BATCHES + 3):
        path = tmp_path / str(position)
        dying = compiled_trainer(
            path, batches=dies_before(divmod(position, BATCHES)), checkpoint_minutes=1e-9
        )
        with pytest.raises(KilledError):
            dying.run()
        trainer = compiled_trainer(path, seed=7, checkpoint_minutes=1e-9)
        trainer.resume()
        trainer.run()
        assert outcome(path, trainer) == expected, position


@pytest.mark.slow
def test_a_checkpoint_goes_on_without_compiling(tmp_path: Path) -> None:
    dying = compiled_trainer(tmp_path, batches=dies_before((1, 1)))
    with pytest.raises(KilledError):
        dying.run()
    trainer = toy_trainer(tmp_path, seed=7)
    trainer.resume()
    assert trainer.run().epochs == 3


@pytest.mark.slow
def test_evaluation_is_not_compiled(tmp_path: Path) -> None:
    backend = CountingBackend()
    trainer = toy_trainer(tmp_path, epochs=2)
    trainer.learner.compile(aot(backend))
    trainer.run()
    assert (backend.compiled, backend.runs) == (1, 2 * (BATCHES - 1))


class BrokenModel(ToyModel):
    """Its second convolution sees infinities."""

    def forward(self, images: Tensor) -> Tensor:
        features = self.second(torch.relu(self.norm(self.first(images))) * 1e39)
        return self.head(self.dropout(features.mean((2, 3))))


@pytest.mark.slow
def test_the_place_of_a_nan_is_found_in_a_compiled_network(tmp_path: Path) -> None:
    trainer = compiled_trainer(tmp_path, model=BrokenModel())
    with pytest.raises(NotFiniteError, match="began in the output of second"):
        trainer.run()


@pytest.mark.slow
def test_in_the_context_nothing_is_compiled() -> None:
    backend = CountingBackend()
    network = aot(backend).network(ToyModel())
    pixels = toy_batch(0).pixels()
    with uncompiled():
        network(pixels)
    assert backend.runs == 0
    network(pixels)
    assert backend.runs == 1


def refuses(graph: torch.fx.GraphModule, inputs: list[Tensor]) -> Callable[..., Any]:
    raise RuntimeError("no such instruction\nlong story")


def test_a_network_that_cannot_be_compiled_is_one_line() -> None:
    network = aot(refuses).network(nn.Linear(2, 2))
    with pytest.raises(UserError) as caught:
        network(torch.zeros(4, 2))
    assert "\n" not in str(caught.value)
    assert "cannot compile the network" in str(caught.value)
    assert "no such instruction" in str(caught.value)
    assert "train.compile=off" in str(caught.value)


def test_each_wish_becomes_an_option_of_torch() -> None:
    assert Compiler(batch_size=1).options() == {"options": {}}
    wishes = Compiler(batch_size=1, has_graphs=True, is_exact=True)
    assert wishes.options() == {"options": {"deterministic": True}}  # the loss: never graphs
    both = {"deterministic": True, "triton.cudagraphs": True}
    assert wishes.options(has_graphs=True) == {"options": both}


def test_cuda_graphs_are_told_where_a_step_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    begun: list[int] = []
    monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: begun.append(1))
    plain, recording = aot(), replace(aot(), has_graphs=True)
    for compiler, expected in ((plain, 0), (recording, 2)):
        network = compiler.network(quiet_model())
        for images in (4, 3, 4):
            network(toy_batch(0, images).pixels())
        assert len(begun) == expected


def trained_together(ranks: Ranks, *, is_compiled: bool) -> list[list[float]]:
    backend = CountingBackend()
    compiler = aot(backend, size=BATCH_SIZE // 2) if is_compiled else None
    subject = learner(compiler, ranks=ranks, nominal_batch=2 * BATCH_SIZE)
    for step in range(3):
        subject.learn(toy_batch(step).split(ranks.size)[ranks.rank], step)
    assert backend.runs == (3 if is_compiled else 0)
    tensors = {**subject.model.state_dict(), **subject.gradients.waiting()}
    return [value.flatten().tolist() for value in tensors.values()]


@pytest.mark.slow
def test_two_processes_learn_the_same_compiled() -> None:
    plain = in_processes(2, partial(trained_together, is_compiled=False))
    compiled = in_processes(2, partial(trained_together, is_compiled=True))
    for tensors, expected in zip(compiled, plain, strict=True):
        for values, others in zip(tensors, expected, strict=True):
            assert values == pytest.approx(others, rel=1e-4, abs=1e-6)
