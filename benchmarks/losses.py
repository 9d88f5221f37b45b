"""Focal loss, forward and backward: ours against the formula as people write it.

    python benchmarks/losses.py [--shape 16 25200 80] [--device cuda] [--json FILE]

Peers: the usual wrapper around BCE-with-logits, torchvision's sigmoid_focal_loss, and the wrapper
compiled. Times are medians of alternating repetitions, CPU time on a CPU; peak memory is what the
pass adds to the inputs, in a process of its own on a CPU.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from benchmarks.measure import (
    Figure,
    alternate,
    compared,
    milliseconds,
    peak_memory_mib,
    report,
)
from models.losses import FocalLoss
from utils.runtime.machine.memory import reuse_freed_memory

Loss = Callable[[Tensor, Tensor], Tensor]

TIME_GOAL, MEMORY_GOAL = 2.5, 2.0
FLOATS_MOVED = 5
"""Per element: logits, targets and slope read, slope and gradient written."""
FLOATS_COPIED = 2


class NaiveFocalLoss(nn.Module):
    """The formula step by step, as it is written in most projects."""

    def __init__(self, gamma: float, alpha: float) -> None:
        super().__init__()
        self.gamma = gamma
        self.alpha = alpha
        self.bce = nn.BCEWithLogitsLoss(reduction="none")

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (...,) against targets (...,)."""
        loss = self.bce(logits, targets)
        p = torch.sigmoid(logits)
        p_t = targets * p + (1 - targets) * (1 - p)
        alpha_t = targets * self.alpha + (1 - targets) * (1 - self.alpha)
        focal: Tensor = alpha_t * (1 - p_t) ** self.gamma * loss
        return focal.mean()


class Inputs:
    """Logits like those of a detector in training, and targets of which 2 % are positive."""

    def __init__(self, shape: list[int], device: str) -> None:
        generator = torch.Generator().manual_seed(0)
        self.logits = torch.randn(shape, generator=generator).mul_(3).sub_(2).to(device)
        self.logits.requires_grad_()
        self.targets = torch.rand(shape, generator=generator).lt(0.02).float().to(device)

    def run(self, loss: Loss) -> None:
        """Forward and backward."""
        self.logits.grad = None
        loss(self.logits, self.targets).backward()


def losses(gamma: float, alpha: float) -> dict[str, Loss]:
    """Return the sides by name."""
    return {
        "ours": FocalLoss(nn.BCEWithLogitsLoss(), gamma, alpha),
        "naive": NaiveFocalLoss(gamma, alpha),
        "torchvision": lambda x, t: sigmoid_focal_loss(x, t, alpha, gamma, "mean"),
        "plain BCE": nn.BCEWithLogitsLoss(),
    }


def compiled(loss: nn.Module, inputs: Inputs) -> Loss | None:
    """Return `loss` compiled for `inputs`, None where no compiler works."""
    fast: Loss = torch.compile(loss, dynamic=False)
    try:
        inputs.run(fast)
    except (RuntimeError, OSError) as error:
        reason = str(error).strip().partition("\n")[0]
        print(f"the compiled formula was not measured: {reason}", file=sys.stderr)
        return None
    return fast


def clock_ms(run: Callable[[], object], device: str) -> float:
    """Return how long `run` takes, ms: CPU time, or on a GPU the time until it has finished."""
    if device == "cpu":
        return milliseconds(run, 1)
    torch.cuda.synchronize()
    start = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return (time.perf_counter() - start) * 1e3


def limit_ms(inputs: Inputs, device: str) -> float:
    """Return how long moving the floats of a pass takes at the speed of a copy."""
    source = inputs.logits.detach()
    copy = torch.zeros_like(source)
    copies = [clock_ms(lambda: copy.copy_(source), device) for _ in range(5)]
    return min(copies) * FLOATS_MOVED / FLOATS_COPIED


def added_mib(side: str, arguments: argparse.Namespace) -> float:
    """Return what one pass of a side adds to the memory of its inputs, MiB."""
    inputs = Inputs(arguments.shape, arguments.device)
    loss = losses(arguments.gamma, arguments.alpha)[side]
    if arguments.device != "cpu":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        inputs.run(loss)
        return float(torch.cuda.max_memory_allocated() - before) / (1 << 20)
    Inputs([64, 64], "cpu").run(loss)  # loads what the first pass loads
    before_mib = peak_memory_mib()
    inputs.run(loss)
    return peak_memory_mib() - before_mib


def memory_in_new_process(side: str, arguments: argparse.Namespace) -> float:
    """Return `added_mib` as a process sees it that does nothing else."""
    shape = [str(size) for size in arguments.shape]
    command = [sys.executable, __file__, "--memory-of", side, "--device", arguments.device]
    command += ["--gamma", str(arguments.gamma), "--alpha", str(arguments.alpha)]
    done = subprocess.run([*command, "--shape", *shape], capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout))


def figures(times: Mapping[str, float], memory: Mapping[str, float], limit: float) -> list[Figure]:
    """Return a row for every peer, in time and in memory."""
    rows = [
        compared(
            f"time, ms (peer: {peer})",
            times["ours"],
            value,
            goal=TIME_GOAL if peer == "naive" else None,
            limit=limit,
        )
        for peer, value in times.items()
        if peer != "ours"
    ]
    return rows + [
        compared(
            f"peak memory, MiB (peer: {peer})",
            memory["ours"],
            value,
            goal=MEMORY_GOAL if peer == "naive" else None,
            limit=None,
        )
        for peer, value in memory.items()
        if peer != "ours"
    ]


def main() -> None:
    """Read the command line, measure, print."""
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    if arguments.memory_of:
        print(json.dumps(added_mib(arguments.memory_of, arguments)))
        return
    # As train.py does, for all sides: fresh pages cost more than the arithmetic.
    reuse_freed_memory()
    inputs = Inputs(arguments.shape, arguments.device)
    sides = losses(arguments.gamma, arguments.alpha)
    memory = {side: memory_in_new_process(side, arguments) for side in sides}
    if not arguments.no_compile:
        fast = compiled(NaiveFocalLoss(arguments.gamma, arguments.alpha), inputs)
        if fast is not None:
            sides["compiled"] = fast
    for loss in sides.values():
        inputs.run(loss)
    timers = {
        side: partial(clock_ms, partial(inputs.run, loss), arguments.device)
        for side, loss in sides.items()
    }
    times = alternate(timers, arguments.repetitions)
    print(f"shape {tuple(arguments.shape)}, gamma {arguments.gamma}, alpha {arguments.alpha}")
    print(f"{arguments.device}, {arguments.threads} thread(s)")
    limit = limit_ms(inputs, arguments.device)
    report(figures(times, memory, limit), arguments.json)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--shape", type=int, nargs="+", default=[16, 25200, 80], help="of logits")
    parser.add_argument("--gamma", type=float, default=1.5)
    parser.add_argument("--alpha", type=float, default=0.25)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--no-compile", action="store_true", help="skip the compiled peer")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
