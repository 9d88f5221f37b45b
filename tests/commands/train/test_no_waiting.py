"""A training step asks the device for no number: on a GPU each one would wait for all work before.

A CPU cannot show waiting, but it can show the questions. The GPU's way through criterion and
learner is taken on the CPU, under modes that write down every operator whose answer or shape
has to be known.
"""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

import models.assign.cells as cells_module
import models.losses.criterion.criterion as criterion_module
from benchmarks.training_problem import TrainingProblem
from utils.engine.learner import Learner
from utils.engine.loss_log import LossLog

pytestmark = pytest.mark.slow


OPERATORS = {
    "_local_scalar_dense", "item", "is_nonzero", "nonzero", "nonzero_numpy", "masked_select",
    "equal", "unique", "_unique2", "unique_dim", "unique_consecutive", "bincount",
}  # fmt: skip
STEPS_READ = 6
MODERN = (
    "model.graph=models/focal-n.yaml",
    "loss.objectness=null",
    "loss.box={name: ciou, normalizer: targets}",
    "loss.classification={name: bce, normalizer: targets}",
    "loss.distribution={gain: 1.5}",
)
METHODS = {"tolist", "numpy", "cpu", "item", "__bool__", "__float__", "__int__", "__index__"}


class Questions(TorchDispatchMode):
    """Operators that need a value, or have a shape that depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.name().split("::")[1].split(".")[0]
        if name in OPERATORS or (name.startswith("index") and has_mask(args)):
            self.asked.append(name)
        return func(*args, **(kwargs or {}))


def has_mask(args: tuple[Any, ...]) -> bool:
    indices = args[1] if len(args) > 1 and isinstance(args[1], (list, tuple)) else ()
    return any(isinstance(each, torch.Tensor) and each.dtype == torch.bool for each in indices)


class Methods(TorchFunctionMode):
    """Calls that dispatch no operator on a CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__name__", "") in METHODS:
            self.asked.append(func.__name__)
        return func(*args, **(kwargs or {}))


def questions(run: Callable[[], object]) -> list[str]:
    with Questions() as operators, Methods() as methods:
        run()
    return operators.asked + methods.asked


@pytest.fixture
def _as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (criterion_module, cells_module):
        monkeypatch.setattr(module, "is_counting_free", lambda device: False)


def learner_and_batch(*overrides: str) -> tuple[Learner, Any]:
    problem = TrainingProblem(
        graph="yolov5n", image_size=64, batch_size=2, device=torch.device("cpu")
    )
    learner = problem.learner(*overrides)
    learner.learn(problem.batch(), 0)  # the first step prepares buffers
    return learner, problem.batch(1)


def test_the_modes_notice_every_kind_of_question() -> None:
    values = torch.tensor([1.0, 0.0])
    for ask in (
        lambda: bool(values[0] > 0),
        lambda: float(values[0]),
        lambda: values.nonzero(),
        lambda: values[values > 0],
        lambda: values.tolist(),
        lambda: values.cpu(),
        lambda: values.masked_select(values > 0),
    ):
        assert questions(ask)
    assert questions(lambda: values[torch.tensor([0])] + values.sum()) == []


@pytest.mark.usefixtures("_as_on_a_gpu")
@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("train.clip_norm=0",),
        ("train.optimizer={name: adamw}",),
        ("loss.objectness={name: focal, gamma: 1.5, alpha: 0.25}",),
        (*MODERN, "loss.assigner={name: task_aligned}"),
        (*MODERN, "loss.assigner={name: simota}"),
        (*MODERN, "loss.assigner={name: soft_label}"),
    ],
    ids=["recipe", "no clipping", "AdamW", "focal", "task_aligned", "simota", "soft_label"],
)
def test_a_step_asks_nothing(overrides: tuple[str, ...]) -> None:
    learner, batch = learner_and_batch(*overrides)
    learner.reads_at_once = False
    losses = LossLog(torch.device("cuda"))

    def step() -> None:
        terms = learner.learn(batch, 1)
        assert terms is not None
        losses.add(terms, epoch=1, batch=2)

    assert questions(step) == []


@pytest.mark.usefixtures("_as_on_a_gpu")
def test_every_so_many_steps_there_is_one_question_for_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in ("loss_log", "guard"):
        monkeypatch.setattr(f"utils.engine.{module}.READ_EVERY", STEPS_READ)
    learner, batch = learner_and_batch()
    learner.reads_at_once = False

    def steps() -> None:
        for iteration in range(1, STEPS_READ + 1):
            learner.learn(batch, iteration)

    asked = questions(steps)
    assert asked == ["tolist"]


def test_on_a_cpu_loss_and_gradient_are_read_in_every_step() -> None:
    learner, batch = learner_and_batch()
    asked = questions(lambda: learner.learn(batch, 1))
    assert [name for name in asked if name.startswith("__")] == ["__bool__", "__float__"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_agrees() -> None:
    device = torch.device("cuda:0")
    problem = TrainingProblem(graph="yolov5n", image_size=64, batch_size=2, device=device)
    learner, batch = problem.learner(), problem.batch().pin_memory()
    learner.learn(batch, 0)
    torch.cuda.set_sync_debug_mode("error")
    try:
        learner.learn(batch, 1)
    finally:
        torch.cuda.set_sync_debug_mode("default")
