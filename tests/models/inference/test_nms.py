"""The operator without its package: it works, it is fast to load, and the package still loads."""

import subprocess
import sys

import pytest
import torch
from torchvision.ops import nms as reference

import models.inference.nms as module
from models.inference.nms import nms
from tests.run_programs import ROOT


def random_boxes(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(count)
    corners = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 40
    sizes = torch.rand(count, 2, generator=generator, dtype=torch.float64) * 20
    scores = torch.rand(count, generator=generator, dtype=torch.float64)
    return torch.cat((corners, corners + sizes), 1), scores


@pytest.mark.parametrize("count", [0, 1, 200])
def test_equals_torchvision(count: int) -> None:
    boxes, scores = random_boxes(count)
    assert torch.equal(nms(boxes, scores, 0.4), reference(boxes, scores, 0.4))


def test_without_the_library_the_package_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARIES", "no such file")
    module._load_operators.cache_clear()
    boxes, scores = random_boxes(20)
    assert torch.equal(nms(boxes, scores, 0.4), reference(boxes, scores, 0.4))


IMPORTED_LATER = """
import importlib, sys, torch
for name in ("train", "val", "predict", "export", "convert", "calibrate", "check_data", "compare"):
    importlib.import_module(f"commands.{name}.run")
print(sorted({"torchvision", "torch._dynamo", "sympy", "scipy", "pandas", "matplotlib", "onnx",
              "onnxruntime", "openvino", "optuna", "ray", "tensorboard"} & {*sys.modules}))
from models.inference.nms import nms
boxes, scores = torch.tensor([[0.0, 0, 2, 2]]), torch.ones(1)
first = nms(boxes, scores, 0.5)
assert "torchvision" not in sys.modules
from torchvision.ops import nms
print(first.tolist(), nms(boxes, scores, 0.5).tolist())
"""


@pytest.mark.slow
def test_programs_wait_for_what_they_use_and_torchvision_can_be_imported_afterwards() -> None:
    """torchvision and torch's compiler make up most of the time that importing takes."""
    command = [sys.executable, "-c", IMPORTED_LATER]  # a fork has imported all that others need
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["[]", "[0] [0]"], done.stderr
