"""Where a NaN or an infinity began: a second pass over the batch that brought it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from utils.engine.compiled import uncompiled
from utils.engine.learner import Learner
from utils.structures.batch import Batch
from utils.structures.loss_terms import LossTerms


def diagnose(learner: Learner, batch: Batch, iteration: int) -> str:
    """Return in words the first thing that is not finite: weight, activation, loss term, gradient.

    The pass is that of `iteration`, random numbers included, never compiled: compiled code has no
    outputs of single modules. The learner stays as it is.
    """
    for name, value in learner.model.state_dict().items():
        if not _is_finite(value):
            return f"{name} of the network itself"
    with _unchanged(learner.model), _unchanged(learner.criterion), uncompiled():
        first = _FirstBadOutput(learner.model)
        with first.watching():
            terms = learner.compute(batch.to(learner.device), iteration)
        if first.name is not None:
            return f"the output of {first.name}"
        if bad := bad_terms(terms):
            return f"the loss term {bad[0]}"
        return _bad_gradient(learner.model, terms)


def bad_terms(terms: LossTerms) -> list[str]:
    """Return the names of the loss terms that are not finite."""
    return [name for name, value in terms.items() if not _is_finite(value)]


def _bad_gradient(model: nn.Module, terms: LossTerms) -> str:
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    gradients = torch.autograd.grad(terms.total, [p for _, p in named], allow_unused=True)
    # Backward goes from the last layer to the first.
    for (name, _), gradient in reversed(list(zip(named, gradients, strict=True))):
        if gradient is not None and not _is_finite(gradient):
            return f"the gradient of {name}"
    return "nothing that a second pass shows"


class _FirstBadOutput:
    """Remembers the first module without parts whose output is not finite."""

    def __init__(self, model: nn.Module) -> None:
        self.name: str | None = None
        self._leaves = {
            name: module for name, module in model.named_modules() if not list(module.children())
        }

    @contextmanager
    def watching(self) -> Iterator[None]:
        handles = [
            module.register_forward_hook(self._hook(name)) for name, module in self._leaves.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _hook(self, name: str) -> Any:
        def look(module: nn.Module, inputs: Any, output: Any) -> None:
            if self.name is None and isinstance(output, Tensor) and not _is_finite(output):
                self.name = name

        return look


@contextmanager
def _unchanged(module: Any) -> Iterator[None]:
    """Restore buffers (batch statistics, running normalisers) afterwards."""
    buffers = list(module.buffers()) if isinstance(module, nn.Module) else []
    before = [buffer.clone() for buffer in buffers]
    try:
        yield
    finally:
        for buffer, value in zip(buffers, before, strict=True):
            buffer.copy_(value)


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())
