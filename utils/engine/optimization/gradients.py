"""The gradients of a network from one optimizer step to the next."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn


class Gradients:
    """Manages the memory of the gradients of all trainable parameters.

    On a CPU that is the same memory at every step. Gradients that autograd allocates anew are
    scattered over the memory of freed activations, which then no longer fit there: the heap of a
    small network grew by a fifth. CUDA has an allocator that keeps sizes apart.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        """Allocate the memory now, below that of any activation."""
        self._parameters = dict(model.named_parameters())
        self._is_kept = device.type == "cpu"
        self._memory: dict[str, Tensor] = {}
        if self._is_kept:
            for name, parameter in self._parameters.items():
                if parameter.requires_grad:
                    self._memory_of(name)

    @torch.no_grad()
    def expect(self) -> None:
        """Give trainable parameters without a gradient one of 0 to accumulate into."""
        if not self._is_kept:
            return
        empty = [n for n, p in self._parameters.items() if p.requires_grad and p.grad is None]
        for name in empty:
            self._parameters[name].grad = self._memory_of(name)
        if empty:
            torch._foreach_zero_([self._memory[name] for name in empty])

    def drop(self) -> None:
        """Set all gradients to None."""
        for parameter in self._parameters.values():
            parameter.grad = None

    def waiting(self) -> dict[str, Tensor]:
        """Return the gradients by name of their parameter, not copied."""
        return {n: p.grad for n, p in self._parameters.items() if p.grad is not None}

    def copied(self) -> dict[str, Tensor]:
        """Return copies of the accumulated gradients."""
        return {name: gradient.clone() for name, gradient in self.waiting().items()}

    @torch.no_grad()
    def restore(self, gradients: Mapping[str, Tensor]) -> None:
        """Restore accumulated gradients, copied into the memory order of the parameters."""
        self.drop()
        for name, gradient in gradients.items():
            self._parameters[name].grad = self._memory_of(name).copy_(gradient)

    def _memory_of(self, name: str) -> Tensor:
        """Return uninitialised memory for the gradient of a parameter."""
        parameter = self._parameters[name]
        if not self._is_kept:
            return torch.empty_like(parameter, requires_grad=False)
        if name not in self._memory:
            self._memory[name] = torch.zeros_like(parameter, requires_grad=False)
        return self._memory[name]
