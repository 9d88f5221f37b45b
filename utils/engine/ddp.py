"""The forward pass of a network that several processes train together."""

from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from utils.runtime.distributed.ranks import Ranks

Forward = Callable[[Tensor], Any]
"""Maps pixels (B, 3, H, W) to the output of the network."""

_COPIES_STATISTICS = (
    "forward_sync_buffers"
    if "forward_sync_buffers" in signature(DistributedDataParallel).parameters
    else "broadcast_buffers"
)
"""What torch calls it; newer versions warn about the older name."""


class JointForward:
    """Calls `model`; with several processes, so that `backward` averages gradients over them.

    Every process has to call it as often. Statistics of norms are those of the first process unless
    the norms are synchronised themselves.
    """

    def __init__(self, model: nn.Module, ranks: Ranks, *, copies_statistics: bool = True) -> None:
        self._model = model
        self._ranks = ranks
        self._copies_statistics = copies_statistics
        self._compile: Callable[[nn.Module], Forward] = _as_it_is
        self._alone: Forward = model
        self._joint: Forward | None = None
        self._learning: frozenset[str] = frozenset()

    def compile(self, compile_network: Callable[[nn.Module], Forward]) -> None:
        """From now on call the network compiled by `compile_network`, wrapper included."""
        self._compile = compile_network
        self._alone, self._joint = compile_network(self._model), None

    def __call__(self, pixels: Tensor) -> object:
        """Return the output of the network for pixels (B, 3, H, W)."""
        if not torch.is_grad_enabled():
            return self._model(pixels)
        if self._ranks.size == 1:
            return self._alone(pixels)
        return self._current()(pixels)

    def _current(self) -> Forward:
        """Return the DDP wrapper; a new one when the set of trainable parameters changed."""
        learning = frozenset(n for n, p in self._model.named_parameters() if p.requires_grad)
        if self._joint is None or learning != self._learning:
            self._joint = None  # its hooks have to be removed before new ones are added
            options: dict[str, Any] = {_COPIES_STATISTICS: self._copies_statistics}
            self._joint = self._compile(DistributedDataParallel(self._model, **options))
            self._learning = learning
        return self._joint


def _as_it_is(network: nn.Module) -> Forward:
    return network
