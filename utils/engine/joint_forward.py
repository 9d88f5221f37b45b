"""The forward pass of a network that several processes train together."""

from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from utils.runtime.ranks import Ranks

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
        self._joint: nn.Module | None = None
        self._learning: frozenset[str] = frozenset()

    def __call__(self, pixels: Tensor) -> object:
        """Return what the network returns for pixels (B, 3, H, W)."""
        if self._ranks.size == 1 or not torch.is_grad_enabled():
            return self._model(pixels)
        return self._current()(pixels)

    def _current(self) -> nn.Module:
        """Return the wrapper; a new one when other parameters learn than before."""
        learning = frozenset(n for n, p in self._model.named_parameters() if p.requires_grad)
        if self._joint is None or learning != self._learning:
            self._joint = None  # its hooks have to go before others come
            options: dict[str, Any] = {_COPIES_STATISTICS: self._copies_statistics}
            self._joint = DistributedDataParallel(self._model, **options)
            self._learning = learning
        return self._joint
