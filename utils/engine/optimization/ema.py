"""Exponential moving average (EMA) of the weights, which is evaluated and saved."""

import math
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from configs.schema.train import EmaSettings


def ema_decay(step: int, settings: EmaSettings) -> float:
    """Return the share of the old average kept at optimizer step `step` (from 1), in [0, 1).

    Small at first, so that the average forgets the initial weights:
    decay * (1 - exp(-step / ramp_steps)).
    """
    return settings.decay * (1 - math.exp(-step / settings.ramp_steps))


class ModelEma:
    """Exponential moving average of a network's state.

    Floating entries of the state dict (weights and batch statistics) are averaged, integer ones
    copied. `model` is in evaluation mode, without gradients, on the same device.
    """

    def __init__(self, source: nn.Module, settings: EmaSettings) -> None:
        self.settings = settings
        self.updates = 0
        self.model = deepcopy(source).eval().requires_grad_(False)
        followers = self.model.state_dict()
        pairs = [(followers[name], value) for name, value in source.state_dict().items()]
        self._averaged, self._sources = _unzip([p for p in pairs if p[0].is_floating_point()])
        self._copies, self._originals = _unzip([p for p in pairs if not p[0].is_floating_point()])

    @torch.no_grad()
    def update(self) -> None:
        """Move the average towards the source by one optimizer step."""
        self.updates += 1
        share = 1 - ema_decay(self.updates, self.settings)
        if self._averaged:
            torch._foreach_lerp_(self._averaged, self._sources, share)
        if self._copies:
            torch._foreach_copy_(self._copies, self._originals)

    def state(self) -> dict[str, Any]:
        """Return what `load_state` restores."""
        return {"updates": self.updates, "model": self.model.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore average and number of updates."""
        self.updates = state["updates"]
        self.model.load_state_dict(state["model"])


def _unzip(pairs: list[tuple[Tensor, Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    return [first for first, _ in pairs], [second for _, second in pairs]
