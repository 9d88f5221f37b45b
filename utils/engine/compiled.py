"""The compiled training step: network, and on CUDA the loss too; and whether compiling pays off.

A resumed run has to decide as at its first start, so nothing is timed here. The figures are
those of `benchmarks/step.py --compile --graphs yolov5n`: float32, one thread. What is saved grows
with the pixels of a batch, by this rule from 320 px and 16 images down to an eighth of that.

What is compiled is a copy of the program, not of the network: weights, names in state dicts and
every other caller of the network stay as they are.
"""

import logging
import math
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from configs.schema.train import TrainSettings
from utils.engine.ddp import Forward
from utils.engine.protocols import Criterion
from utils.runtime.distributed.ranks import Ranks
from utils.runtime.errors import UserError
from utils.runtime.machine.compiler import EXACT_OPTION, GRAPHS_OPTION, compiling, require_compiler
from utils.structures.batch import Targets
from utils.structures.loss_terms import LossTerms

CPU_COMPILE_S = 100.0
"""Seconds of the first step with an empty compiler cache, on two cores."""
CPU_SAVED_S = 0.07
"""Seconds saved per million pixels of a batch, of the 0.52 s that they take."""


def require_earned(settings: TrainSettings, device: torch.device, batches_per_epoch: int) -> None:
    """Refuse to compile a training run that would finish earlier without.

    On a GPU nothing is refused: it was not measured there.

    Args:
        settings: of the training.
        device: that computes.
        batches_per_epoch: of `batch_size` images; smaller ones are not compiled.

    Raises:
        UserError: too few batches.
    """
    batches, needed = settings.epochs * batches_per_epoch, batches_to_earn(settings)
    if device.type != "cpu" or batches >= needed:
        return
    saved = CPU_COMPILE_S / needed
    raise UserError(
        f"train.compile={settings.compile}: to compile takes about {CPU_COMPILE_S:.0f} s on a CPU "
        f"and saves about {saved:.2g} s a batch, so it pays from {needed} whole batches on; this "
        f"training has {batches}, {settings.epochs} epochs of {batches_per_epoch}; state "
        "train.compile=off"
    )


def batches_to_earn(settings: TrainSettings) -> int:
    """Return after how many batches compiling pays off on a CPU."""
    megapixels = settings.batch_size * settings.image_size**2 / 1e6
    return math.ceil(CPU_COMPILE_S / (CPU_SAVED_S * megapixels))


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiler:
    """How the training step on batches of `batch_size` images is compiled.

    has_loss: the loss is compiled too. has_graphs: CUDA graphs of the network are recorded.
    is_exact: no code is chosen by its speed here and now, which would change the order of sums from
    one start to the next; on a CPU nothing is. backend: of torch.compile.
    """

    batch_size: int
    has_loss: bool = False
    has_graphs: bool = False
    is_exact: bool = False
    backend: str | Callable[..., Any] = "inductor"

    def network(self, network: nn.Module) -> Forward:
        """Return what calls `network`, compiled for whole batches."""
        return _WholeBatches(network, self)

    def loss(self, criterion: Criterion) -> Criterion | None:
        """Return what computes the loss of whole batches compiled, None if it is not to be.

        CUDA graphs are not for it: they need as many targets in every step, and what they return
        does not outlive the next step, as the terms of the loss have to.
        """
        return _AnyTargets(criterion, self) if self.has_loss else None

    def options(self, *, has_graphs: bool = False) -> dict[str, Any]:
        """Return the arguments of torch.compile."""
        if self.backend != "inductor":
            return {"backend": self.backend}
        wanted = {EXACT_OPTION: self.is_exact, GRAPHS_OPTION: has_graphs}
        return {"options": {name: True for name, is_wanted in wanted.items() if is_wanted}}


class _WholeBatches:
    """Calls a compiled network for batches of one size, and the plain one for others.

    The last batch of an epoch is smaller. Measured on a CPU, what its uncompiled step costs more is
    less than to compile for its size as well, up to some 800 epochs.
    """

    def __init__(self, network: nn.Module, compiler: Compiler) -> None:
        self._network = network
        self._batch_size = compiler.batch_size
        self._has_graphs = compiler.has_graphs
        options = compiler.options(has_graphs=compiler.has_graphs)
        self._compiled: Forward = torch.compile(network, dynamic=False, **options)
        self._is_new = True

    def __call__(self, pixels: Tensor) -> Any:
        if len(pixels) != self._batch_size:
            return self._network(pixels)
        if self._has_graphs:
            torch.compiler.cudagraph_mark_step_begin()
        if self._is_new:
            logger.info("compiling the network: takes minutes, or seconds if it was done before")
            self._is_new = False
        with compiling("the network"):
            return self._compiled(pixels)


class _AnyTargets:
    """Computes a loss that is compiled once for two or more targets, and again for one and none."""

    def __init__(self, criterion: Criterion, compiler: Compiler) -> None:
        self._compiled: Criterion = torch.compile(criterion, **compiler.options())

    def __call__(self, predictions: Any, targets: Targets) -> LossTerms:
        for column in (targets.boxes, targets.labels, targets.image_index):
            torch._dynamo.maybe_mark_dynamic(column, 0)
        with compiling("the loss"):
            return self._compiled(predictions, targets)


def uncompiled() -> AbstractContextManager[Any]:
    """Return a context in which compiled functions run as they were written, hooks included."""
    if "torch._dynamo" not in sys.modules:  # nothing is compiled; loading takes 2 s
        return nullcontext()
    stance: AbstractContextManager[Any] = torch.compiler.set_stance("force_eager")
    return stance


def choose_compiler(
    settings: TrainSettings, device: torch.device, ranks: Ranks, *, num_images: int
) -> Compiler | None:
    """Return how the steps on `num_images` an epoch are compiled, None for not at all.

    The loss is compiled on CUDA, where its many small operators wait for each other; a CPU drops
    unmatched entries and has less to do. With several processes it exchanges counts, which one
    graph cannot contain.

    Raises:
        UserError: this device, machine or training cannot or should not compile.
    """
    if settings.compile == "off":
        return None
    if settings.compile == "graphs":
        _require_graphs(device, ranks)
    if ranks.size > 1 and settings.sync_batchnorm:
        raise UserError(
            "train.compile and train.sync_batchnorm do not go together: compiled code would end at "
            "every norm to wait for the other processes; set one of them off"
        )
    require_earned(settings, device, num_images // (settings.batch_size * ranks.size))
    is_exact = settings.deterministic and device.type == "cuda"
    require_compiler(device, is_exact=is_exact)
    return Compiler(
        batch_size=settings.batch_size,
        has_loss=device.type == "cuda" and ranks.size == 1,
        has_graphs=settings.compile == "graphs",
        is_exact=is_exact,
    )


def _require_graphs(device: torch.device, ranks: Ranks) -> None:
    if device.type != "cuda":
        raise UserError(
            f"train.compile=graphs records CUDA graphs and cannot on {device.type}; set "
            "train.compile=network or train.compile=off"
        )
    if ranks.size > 1:
        raise UserError(
            "train.compile=graphs is for one process: CUDA graphs of several would wait for each "
            "other; set train.compile=network"
        )
