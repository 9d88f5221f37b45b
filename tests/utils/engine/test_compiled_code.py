"""The same as test_compiled.py with torch's real compiler, which takes its time."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func
from torch._dynamo.backends.common import aot_autograd

import models.assign.cells as cells_module
import models.losses.criterion.criterion as criterion_module
from configs.schema.loss import LossSettings
from models.detector import build_detector
from models.heads.joint import DistanceDecoder
from models.losses import build_criterion
from tests.commands.train.test_no_waiting import OPERATORS
from tests.forking import ForkedProgram
from tests.models.assign.test_dynamic import scene
from tests.models.factories import random_predictions, read_graph
from tests.utils.engine.test_compiled import detector_learner
from tests.utils.engine.test_processes import batch
from tests.utils.engine.test_resume import bits
from utils.checkpoint.state import load_state
from utils.engine.compiled import Compiler
from utils.structures.batch import Targets

ROOT = Path(__file__).parents[3]
TOLERANCE = 1e-4
"""Of the largest value of a tensor, after three batches: sums are fused and in another order."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler"),
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "cache"))
    yield
    torch.compiler.reset()


def test_compiled_code_computes_the_same_losses_and_gradients() -> None:
    plain, compiled = detector_learner(), detector_learner(Compiler(batch_size=4))
    for iteration in range(3):
        expected = plain.learn(batch(iteration), iteration)
        terms = compiled.learn(batch(iteration), iteration)
        assert expected is not None
        assert terms is not None
        torch.testing.assert_close(terms.total, expected.total, rtol=1e-5, atol=0)
    gradients = compiled.gradients.waiting()
    assert len(gradients) > 10
    for name, gradient in plain.gradients.waiting().items():
        difference = (gradients[name] - gradient).abs().max()
        assert difference <= TOLERANCE * gradient.abs().max(), name


def trained(folder: Path, cache: Path, *place: int) -> int:
    with ForkedProgram(
        [sys.executable, "-m", "tests.utils.engine.compiled_toy", str(folder), *map(str, place)],
        cwd=ROOT,
        env={**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        _, errors = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), errors[-2000:]
    return process.returncode


def left(folder: Path) -> Any:
    """Return the bits of all that a training leaves but the time it took."""
    return bits(load_state(folder / "last")), (folder / "best.safetensors").read_bytes()


def test_killed_and_resumed_equals_never_stopped(tmp_path: Path) -> None:
    """The killed one compiles anew; the resumed one finds compiled code in the cache."""
    straight, killed, cache = tmp_path / "straight", tmp_path / "killed", tmp_path / "other"
    assert trained(straight, tmp_path / "one") == 0
    assert trained(killed, cache, 1, 3) == -signal.SIGKILL
    assert (killed / "last").exists()
    assert trained(killed, cache) == 0
    assert left(killed) == left(straight)


@pytest.mark.parametrize(
    "name",
    ["yolov5n", "yolov5s-ghost", "yolov5s-transformer", "yolov3-tiny", "retinanet-r18", "focal-n"],
)
def test_the_network_is_one_graph(name: str) -> None:
    """A part that cannot be compiled would be a break in it."""
    detector = build_detector(read_graph(name), num_classes=3).train()
    pixels = torch.rand(2, 3, 64, 64)
    torch.manual_seed(0)
    expected = detector(pixels)
    torch.manual_seed(0)
    found = torch.compile(detector, backend="eager", fullgraph=True, dynamic=False)(pixels)
    assert found.strides == expected.strides
    for level, other in zip(found.levels, expected.levels, strict=True):
        torch.testing.assert_close(level, other)


def one_graph(criterion: Any, targets: Targets, operators: set[str]) -> Any:
    """Return the terms that the loss gives as one graph, and collect the operators in it."""

    def look(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        calls = [node for node in graph.graph.nodes if node.op == "call_function"]
        operators.update(str(call.target).removeprefix("aten.").split(".")[0] for call in calls)
        return make_boxed_func(graph.forward)

    for column in (targets.boxes, targets.labels, targets.image_index):
        torch._dynamo.maybe_mark_dynamic(column, 0)
    backend = aot_autograd(fw_compiler=look)
    return torch.compile(criterion, backend=backend, fullgraph=True)(random_predictions(1), targets)


def some_targets() -> Targets:
    corners = torch.tensor([[2.0, 3.0], [10.0, 8.0], [20.0, 21.0]])
    sizes = torch.tensor([[12.0, 17.0], [25.0, 12.0], [22.0, 19.0]])
    return Targets(
        boxes=torch.cat([corners, corners + sizes], dim=1),
        labels=torch.tensor([0, 2, 1]),
        image_index=torch.tensor([0, 1, 1]),
    )


@pytest.mark.parametrize("assigner", ["task_aligned", "simota", "soft_label"])
def test_on_a_gpu_a_loss_that_assigns_by_predictions_is_one_graph(
    assigner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = LossSettings.model_validate(
        {
            "assigner": {"name": assigner},
            "objectness": None,
            "box": {"name": "ciou", "normalizer": "targets"},
            "classification": {"name": "bce", "normalizer": "targets"},
            "distribution": {"gain": 1.5},
        }
    )
    criterion = build_criterion(settings, num_classes=3, num_levels=2, image_size=64)
    for module in (criterion_module, cells_module):
        monkeypatch.setattr(module, "is_counting_free", lambda device: False)
    predictions, targets = scene(1, DistanceDecoder(bins=4, box_channels=16))
    torch.compiler.reset()
    compiled = torch.compile(criterion, backend="aot_eager", fullgraph=True)
    expected, found = criterion(predictions, targets), compiled(predictions, targets)
    assert int(found.num_foreground) == int(expected.num_foreground) > 0
    torch.testing.assert_close(found.total, expected.total, rtol=1e-6, atol=0)


def test_on_a_gpu_the_loss_is_one_graph_that_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    criterion = build_criterion(LossSettings(), num_classes=3, num_levels=2, image_size=48)
    asking: set[str] = set()
    one_graph(criterion, some_targets(), asking)
    assert asking & OPERATORS == {"nonzero"}  # a CPU counts its matches, which costs nothing there
    torch.compiler.reset()
    monkeypatch.setattr(criterion_module, "is_counting_free", lambda device: False)
    expected = criterion(random_predictions(1), some_targets())
    operators: set[str] = set()
    found = one_graph(criterion, some_targets(), operators)
    assert "scatter_reduce" in operators
    assert operators & OPERATORS == set()
    assert int(expected.num_foreground) > 0
    assert int(found.num_foreground) == int(expected.num_foreground)
    torch.testing.assert_close(found.total, expected.total, rtol=1e-6, atol=0)
