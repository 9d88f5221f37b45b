import subprocess
import sys

import pytest
import torch
from torch import nn

from models.graph.build import SkipInit
from tests.run_programs import ROOT


@pytest.mark.parametrize(
    "build",
    [
        lambda: nn.Conv2d(3, 8, 3),
        lambda: nn.Linear(4, 4),
        lambda: nn.MultiheadAttention(8, 2),
        lambda: nn.ConvTranspose2d(3, 3, 2),
    ],
)
def test_no_random_number_is_drawn(build: object) -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with SkipInit():
        build()  # type: ignore[operator]
    assert torch.equal(torch.get_rng_state(), before)
    build()  # type: ignore[operator]
    assert not torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
def test_a_network_and_its_optimizer_load_no_compiler() -> None:
    """It would cost two seconds and 180 MiB."""
    code = (
        "import sys, torch; from benchmarks.training_problem import TrainingProblem; "
        "problem = TrainingProblem(graph='yolov5n', image_size=64, batch_size=2, "
        "device=torch.device('cpu'))\n"
        "for name in ('sgd', 'adam', 'adamw'):\n"
        "    learner = problem.learner(f'train.optimizer.name={name}')\n"
        "    learner.learn(problem.batch(), 0)\n"
        "    learner.state()\n"
        "    print(name, {'torch._dynamo', 'sympy'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n") == ["sgd set()", "adam set()", "adamw set()", ""]
