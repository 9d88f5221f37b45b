"""The losses of an epoch: summed, and checked for NaN, without waiting for the device each step."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from utils.runtime.errors import UserError
from utils.structures.loss_terms import LossTerms

READ_EVERY = 20
"""Iterations between two readings where a reading waits for the device."""


class NotFiniteError(UserError, FloatingPointError):
    """A loss, a gradient or a weight became infinite or NaN.

    batch: which one of its epoch, from 0, where it is not the one that was computed last.
    """

    def __init__(self, message: str, batch: int | None = None) -> None:
        super().__init__(message)
        self.batch = batch


class LossLog:
    """Means over the images of one epoch; `foreground` is the number of matches per image."""

    def __init__(self, device: torch.device) -> None:
        self._read_every = 1 if device.type == "cpu" else READ_EVERY
        self._unread: list[_Unread] = []
        self.images = 0
        self._sums: dict[str, float] = {}
        self._foreground = 0.0

    def add(self, terms: LossTerms, *, epoch: int, batch: int) -> None:
        """Add the terms of one batch; `epoch` and `batch` count from 1 and appear in the message.

        Raises:
            NotFiniteError: these or earlier terms not read yet are not finite.
        """
        values = (*terms.values, terms.num_foreground)
        row = torch.stack([value.detach().float() for value in values])
        self._unread.append(_Unread(terms.names, terms.batch_size, epoch, batch, row))
        if len(self._unread) >= self._read_every:
            self.read()

    def read(self) -> None:
        """Fetch what is still on the device, with one synchronisation.

        Raises:
            NotFiniteError: names the first bad batch and its terms.
        """
        if not self._unread:
            return
        rows = torch.stack([unread.row for unread in self._unread]).tolist()
        for unread, (*values, foreground) in zip(self._unread, rows, strict=True):
            terms = dict(zip(unread.names, values, strict=True))
            if not all(math.isfinite(value) for value in (*values, foreground)):
                place = f"epoch {unread.epoch}, batch {unread.batch}"
                raise NotFiniteError(f"{_listed(terms)} at {place}", unread.batch - 1)
            self.images += unread.images
            for name, value in terms.items():
                self._sums[name] = self._sums.get(name, 0.0) + value * unread.images
            self._foreground += foreground
        self._unread.clear()

    def means(self) -> dict[str, float]:
        """Return the mean of each term over the images read so far, and `foreground` behind them.

        0 before the first image of an epoch, and no term before the first of all.
        """
        images = max(self.images, 1)
        means = {name: value / images for name, value in self._sums.items()}
        return {**means, "foreground": self._foreground / images}

    def reset(self) -> None:
        """Begin a new epoch."""
        self._unread.clear()
        self.images = 0
        self._sums = dict.fromkeys(self._sums, 0.0)
        self._foreground = 0.0

    def state(self) -> dict[str, Any]:
        """Return what `load_state` restores; reads first."""
        self.read()
        return {"images": self.images, "sums": {**self._sums, "foreground": self._foreground}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore the sums of a begun epoch."""
        self.reset()
        self.images = state["images"]
        self._sums = dict(state["sums"])
        self._foreground = self._sums.pop("foreground")


class _Unread(NamedTuple):
    """One batch whose numbers are still on the device; row: terms, then matches."""

    names: tuple[str, ...]
    images: int
    epoch: int
    batch: int
    row: Tensor


REMEDY = (
    "the training diverged: lower train.optimizer.lr, lengthen train.warmup or use "
    "train.precision=float32; checkpoints written before are kept"
)


def require_finite_terms(terms: LossTerms) -> None:
    """Raise NotFiniteError unless the terms are finite; waits for the device."""
    if not bool(torch.isfinite(terms.total)):
        raise NotFiniteError(_listed({n: float(v) for n, v in terms.detached().items()}))


def require_finite_state(
    state: Mapping[str, Tensor], *, place: str, batch: int | None = None
) -> None:
    """Raise unless all floating tensors (any shape) are finite; waits for the device once.

    `batch`, from 0 in its epoch, goes into the error.

    Raises:
        NotFiniteError: names a bad tensor and `place`.
    """
    named = [(name, value) for name, value in state.items() if value.is_floating_point()]
    if not named:
        return
    norms = torch.stack(torch._foreach_norm([value for _, value in named], ord=math.inf))
    for (name, _), norm in zip(named, norms.tolist(), strict=True):
        if not math.isfinite(norm):
            raise NotFiniteError(f"{name} is not finite at {place}", batch)


def _listed(values: Mapping[str, float]) -> str:
    return "loss is not finite: " + ", ".join(f"{name}={value:g}" for name, value in values.items())
