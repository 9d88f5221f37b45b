"""The checks of a GPU, tried out on the CPU: they pass there, and notice what is wrong."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import benchmarks.gpu_checks as module
from benchmarks.gpu_checks import DeviceError, require_close, run_checks
from benchmarks.training_problem import TrainingProblem
from data.augment.plan import BatchPlan
from data.loading.dataset import SampleKey, TrainDataset
from data.loading.planned_batch import PlannedBatch
from models.inference.nms import Postprocess
from models.losses import DetectionCriterion
from tests.utils.engine.test_compiled import learner
from tests.utils.engine.toy import toy_batch
from utils.engine.compiled import Compiler
from utils.engine.learner import Learner
from utils.structures.batch import Batch

ROOT = Path(__file__).parents[2]
PROBLEM = TrainingProblem(graph="yolov5n", image_size=32, batch_size=2, device=torch.device("cpu"))


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "benchmarks/gpu.py", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_whole_program_runs_on_a_cpu(tmp_path: Path) -> None:
    done = run("--device", "cpu", "--quick", "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\nskipped") == 3
    assert "FAILED" not in done.stdout
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert {"name", "ours", "peer", "ratio", "goal", "limit"} == set(figures[0])
    assert all(figure["ours"] > 0 for figure in figures)


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so_in_one_line() -> None:
    done = run()
    assert done.returncode == 2
    assert done.stderr.strip() == "there is no GPU here: torch finds no CUDA device"


def test_a_difference_is_measured_against_the_largest_value() -> None:
    expected = torch.tensor([100.0, 0.0])
    assert require_close("x", torch.tensor([100.0, 0.005]), expected) == pytest.approx(5e-5)
    with pytest.raises(DeviceError, match=r"x differs by 2\.0e-04"):
        require_close("x", torch.tensor([100.02, 0.0]), expected)
    with pytest.raises(DeviceError, match="nan"):
        require_close("x", torch.tensor([float("nan"), 0.0]), expected)


def second_call_differs(monkeypatch: pytest.MonkeyPatch, owner: type, name: str) -> None:
    """Let every second call answer for other raw output, as a faulty device would."""
    original, calls = getattr(owner, name), []

    def faulty(self: object, predictions: object, *rest: object) -> object:
        calls.append(1)
        if len(calls) % 2 == 0:
            for level in predictions.levels:
                level.data = level.data.flip(2) + 0.5
        return original(self, predictions, *rest)

    monkeypatch.setattr(owner, name, faulty)


@pytest.mark.slow
def test_a_wrong_loss_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    module.check_loss(PROBLEM)
    second_call_differs(monkeypatch, DetectionCriterion, "forward")
    with pytest.raises(DeviceError, match="differs"):
        module.check_loss(PROBLEM)


@pytest.mark.slow
def test_wrong_detections_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    module.check_suppression(PROBLEM)
    second_call_differs(monkeypatch, Postprocess, "__call__")
    with pytest.raises(DeviceError, match="scores"):
        module.check_suppression(PROBLEM)


@pytest.mark.slow
def test_a_forgotten_momentum_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    state = Learner.state
    monkeypatch.setattr(Learner, "state", lambda self: {**state(self), "optimizer": {}})
    with pytest.raises(DeviceError, match="differs after a resume"):
        module.check_resume(PROBLEM)


class ToyProblem:
    """Stands for a detector, which takes long to be looked at by torch's compiler."""

    def learner(self, *overrides: str) -> Learner:
        return learner()

    def batch(self, seed: int) -> Batch:
        return toy_batch(seed)


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1.0, 1.01])
def test_a_compiled_step_that_learns_something_else_is_noticed(factor: float) -> None:
    def backend(graph: torch.fx.GraphModule, inputs: list[torch.Tensor]) -> Any:
        return lambda *arguments: tuple(output * factor for output in graph(*arguments))

    torch.compiler.reset()
    compiler = Compiler(batch_size=4, backend=backend)
    if factor == 1.0:
        assert module.compare_compiled(ToyProblem(), compiler) < 1e-6
    else:
        with pytest.raises(DeviceError, match="loss differs"):
            module.compare_compiled(ToyProblem(), compiler)


def test_misplaced_pixels_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "boxes, the same" in module.check_augmentation(PROBLEM)
    render = PlannedBatch.render
    calls = []

    def faulty(self: PlannedBatch) -> Batch:
        calls.append(1)
        drawn = render(self)
        return replace(drawn, images=drawn.images.roll(len(calls) - 1, dims=3))

    monkeypatch.setattr(PlannedBatch, "render", faulty)
    with pytest.raises(DeviceError, match="by the same code: other by"):
        module.check_augmentation(PROBLEM)


def test_lost_boxes_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = TrainDataset.plan
    calls = []

    def faulty(self: TrainDataset, keys: Sequence[SampleKey]) -> BatchPlan:
        calls.append(1)
        whole = plan(self, keys)
        # Planned twice, for the worker and for the device.
        hidden = replace(whole.objects, ignore=~whole.objects.ignore)
        return whole if len(calls) <= 1 else replace(whole, objects=hidden)

    monkeypatch.setattr(TrainDataset, "plan", faulty)
    with pytest.raises(DeviceError, match="other boxes"):
        module.check_augmentation(PROBLEM)


def test_a_failure_does_not_end_the_other_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(problem: TrainingProblem) -> str:
        raise DeviceError("it is wrong")

    monkeypatch.setattr(module, "CHECKS", {"first": fail, "second": lambda problem: "fine"})
    lines, is_fine = run_checks(PROBLEM)
    assert lines == ["FAILED   first: it is wrong", "ok       second: fine"]
    assert not is_fine
