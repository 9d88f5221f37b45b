"""One training step on the CPU, and its last part alone: optimizer and running average.

    python benchmarks/step.py [--graphs yolov5n yolov5s] [--threads N] [--compile] [--json FILE]

The step is forward, loss, backward, optimizer and running average on a batch of noise. The peer is
the same network and loss in the loop most projects have: contiguous float32, torch's plain SGD, the
average of weights tensor by tensor. Times are medians of alternating repetitions: CPU time with one
thread, else the time on the clock. `--compile` adds, for each graph, how long compiling takes and
what it gives.
"""

import argparse
import sys
from collections.abc import Callable, Iterable
from copy import deepcopy
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.compiled_step import compiled_figures
from benchmarks.measure import Figure, alternate, clock_milliseconds, compared, milliseconds, report
from benchmarks.training_problem import TrainingProblem
from configs.schema.train import EmaSettings, SgdSettings, TrainSettings
from utils.engine.learner import Learner
from utils.engine.optimization.ema import ModelEma, ema_decay
from utils.engine.optimization.optimizer import build_optimizer
from utils.engine.precision import autocast
from utils.runtime.machine.device import cpu_computes_bf16
from utils.runtime.machine.memory import reuse_freed_memory
from utils.runtime.machine.threads import prepare_environment
from utils.structures.batch import Batch

CPU = torch.device("cpu")
FLOAT32_GOAL, BF16_GOAL, UPDATE_GOAL = 1.2, 1.75, 3.0
UPDATE_FLOATS, COPY_FLOATS = 8, 2
"""Floats moved per weight. Update: weight, gradient, momentum, average read; weight, momentum and
average written, and the weight read once more for the average."""


class PlainAverage:
    """The running average as a loop over the state dict."""

    def __init__(self, source: nn.Module, settings: EmaSettings) -> None:
        self.model = deepcopy(source).eval().requires_grad_(False)
        self.source, self.settings, self.updates = source, settings, 0

    @torch.no_grad()
    def update(self) -> None:
        """Move the average by one step."""
        self.updates += 1
        decay = ema_decay(self.updates, self.settings)
        current = self.source.state_dict()
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                value *= decay
                value += (1 - decay) * current[name].detach()


class PlainStep:
    """Forward, backward and update of the same network as it is usually written."""

    def __init__(self, learner: Learner) -> None:
        self.model = learner.model.to(memory_format=torch.contiguous_format)
        self.criterion = learner.criterion
        self.optimizer = plain_sgd(self.model.parameters(), learner.settings.optimizer)
        self.average = PlainAverage(self.model, learner.settings.ema)

    def learn(self, batch: Batch) -> None:
        """Take a step on a batch."""
        images = batch.images.contiguous().float() / 255
        self.criterion(self.model(images), batch.targets).total.backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 10.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.average.update()


def plain_sgd(parameters: Iterable[Tensor], settings: object) -> torch.optim.Optimizer:
    """Return torch's SGD as its defaults make it on a CPU, with the momentum of `settings`."""
    momentum = settings.momentum if isinstance(settings, SgdSettings) else 0.9
    return torch.optim.SGD(parameters, lr=1e-3, momentum=momentum, nesterov=True)


def timer(threads: int) -> Callable[[Callable[[], object], int], float]:
    """Return what measures a call: CPU time where one thread does the work."""
    return milliseconds if threads == 1 else clock_milliseconds


def step_figures(problem: TrainingProblem, arguments: argparse.Namespace) -> list[Figure]:
    """Return the figures of one network."""
    batch, time = problem.batch(), timer(arguments.threads)
    plain = PlainStep(problem.learner("train.precision=float32"))
    sides: dict[str, Callable[[], object]] = {"plain": partial(plain.learn, batch)}
    precisions = ["float32", *(["bf16"] if cpu_computes_bf16() else [])]
    for precision in precisions:
        learner = problem.learner(f"train.precision={precision}")
        sides[precision] = partial(learner.learn, batch, 0)
    for step in sides.values():
        step()
    found = alternate(
        {side: partial(time, step, 1) for side, step in sides.items()}, arguments.repetitions
    )
    flops = count_flops(problem, batch)
    title = f"step of {problem.graph}, {problem.image_size} px, batch {problem.batch_size}"
    return [
        compared(
            f"{title}, {precision}, ms (peer: plain float32)",
            found[precision],
            found["plain"],
            goal=BF16_GOAL if precision == "bf16" else FLOAT32_GOAL,
            limit=flops / convolution_flops_per_ms(precision, time),
        )
        for precision in precisions
    ]


def count_flops(problem: TrainingProblem, batch: Batch) -> int:
    """Return the multiplications and additions of convolutions, forward and backward."""
    learner = problem.learner("train.precision=float32")
    with FlopCounterMode(display=False) as counter:
        learner.learn(batch, 0)
    return int(counter.get_total_flops())


def convolution_flops_per_ms(precision: str, time: Callable[..., float]) -> float:
    """Return how fast this machine computes a convolution that suits it, 3 x 3 of 64 channels."""
    convolution = nn.Conv2d(64, 64, 3, padding=1).to(memory_format=torch.channels_last)
    images = torch.rand(16, 64, 80, 80).contiguous(memory_format=torch.channels_last)
    dtype = torch.bfloat16 if precision == "bf16" else None
    with torch.no_grad(), autocast(CPU, dtype):
        fastest = min(time(lambda: convolution(images), 2) for _ in range(5))
    return 2 * 64 * 64 * 9 * images.numel() / 64 / fastest


class Update:
    """Optimizer and running average of one network, with gradients that stay."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.to(memory_format=torch.channels_last)
        for parameter in self.model.parameters():
            parameter.grad = torch.full_like(parameter, 1e-6)

    def ours(self) -> Callable[[], None]:
        """Return our update."""
        settings = TrainSettings()
        optimizer = build_optimizer(self.model, settings)
        average = ModelEma(self.model, settings.ema)

        def update() -> None:
            optimizer.step()
            average.update()

        return update

    def plain(self) -> Callable[[], None]:
        """Return the update as loops over tensors."""
        settings = TrainSettings()
        optimizer = plain_sgd(self.model.parameters(), settings.optimizer)
        average = PlainAverage(self.model, settings.ema)

        def update() -> None:
            optimizer.step()
            average.update()

        return update


def update_figure(graph: str, arguments: argparse.Namespace) -> Figure:
    """Return the figure of optimizer and running average."""
    problem = TrainingProblem(graph=graph, image_size=64, batch_size=1, device=CPU)
    update, time = Update(problem.learner().model), timer(arguments.threads)
    sides = {"ours": update.ours(), "plain": update.plain()}
    for step in sides.values():
        step()
    found = alternate(
        {side: partial(time, step, 5) for side, step in sides.items()}, 2 * arguments.repetitions
    )
    weights = torch.rand(sum(p.numel() for p in update.model.parameters()))
    copy = torch.empty_like(weights)
    copied = min(time(lambda: copy.copy_(weights), 5) for _ in range(5))
    return compared(
        f"optimizer and average of {graph}, ms (peer: SGD and a loop over tensors)",
        found["ours"],
        found["plain"],
        goal=UPDATE_GOAL,
        limit=copied * UPDATE_FLOATS / COPY_FLOATS,
    )


def main() -> None:
    """Read the command line, measure, print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    reuse_freed_memory()  # as train.py does; it serves the peer as well
    figures = [update_figure(arguments.update_graph, arguments)]
    for graph in arguments.graphs:
        problem = TrainingProblem(
            graph=graph, image_size=arguments.size, batch_size=arguments.batch, device=CPU
        )
        figures += step_figures(problem, arguments)
        if arguments.compile:
            time = timer(arguments.threads)
            figures += compiled_figures(problem, time, arguments.repetitions)
    print(f"{arguments.threads} thread(s)")
    report(figures, arguments.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--graphs", nargs="*", default=["yolov5n", "yolov5s"], help="for steps")
    parser.add_argument("--update-graph", default="yolov5s", help="for optimizer and average")
    parser.add_argument("--size", type=int, default=320, help="image size, pixels")
    parser.add_argument("--batch", type=int, default=16, help="images of a step")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="time compiled steps as well")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    prepare_environment()
    main()
