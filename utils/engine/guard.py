"""Handle NaN and infinity: batches are skipped, steps refused, or training ends.

Reading a number from a GPU waits for all work before it. So the GPU itself refuses every step from
the first bad one on, which is read at intervals.
"""

import logging
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.engine.loss_log import READ_EVERY, NotFiniteError
from utils.structures.batch import Batch

logger = logging.getLogger(__name__)

MOST_IN_A_ROW = 10
MOST_SAVED = 3
SHOWN_IMAGES = 3

Explain = Callable[[Batch, int, str], str]
"""Maps batch, iteration and problem to a message; may save the batch."""


class FiniteGuard:
    """Skips batches that are not finite, if that is allowed.

    Statistics that a batch left in network and loss are taken back with it. `left_out` counts
    batches; `explain` is called for each of the first few.
    """

    def __init__(self, parts: list[Any], *, skips: bool) -> None:
        self.skips = skips
        self.left_out = 0
        self.explain: Explain | None = None
        self._in_a_row = 0
        modules = [part for part in parts if isinstance(part, nn.Module)] if skips else []
        self._live: list[Tensor] = [buffer for module in modules for buffer in module.buffers()]
        self._kept = [buffer.clone() for buffer in self._live]

    @torch.no_grad()
    def begin(self) -> None:
        """Remember the statistics before a batch."""
        for kept, live in zip(self._kept, self._live, strict=True):
            kept.copy_(live)

    def passed(self) -> None:
        """The batch was fine."""
        self._in_a_row = 0

    @torch.no_grad()
    def leave_out(self, error: NotFiniteError, batch: Batch, iteration: int) -> None:
        """Undo what the batch did to the statistics, or raise `error` if it may not be left out."""
        self._in_a_row += 1
        if not self.skips or self._in_a_row > MOST_IN_A_ROW:
            raise error
        for kept, live in zip(self._kept, self._live, strict=True):
            live.copy_(kept)
        self.left_out += 1
        if self.explain is not None and self.left_out <= MOST_SAVED:
            with torch.enable_grad():
                logger.warning("skipped: %s", self.explain(batch, iteration, str(error)))
        else:
            logger.warning("skipped: %s; %d batches so far", error, self.left_out)


def name_images(batch: Batch) -> str:
    """Return the file names of a batch's images, the first ones of many."""
    names = [Path(meta.path).name for meta in batch.metas]
    more = f" and {len(names) - SHOWN_IMAGES} more" if len(names) > SHOWN_IMAGES else ""
    return ", ".join(names[:SHOWN_IMAGES]) + more


PROBLEM = "gradient is not finite"


class FiniteSteps:
    """Lets `optimizer` step only as long as all gradients were finite."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, batches_per_epoch: int) -> None:
        self._optimizer = optimizer
        self._batches_per_epoch = batches_per_epoch
        self._unread: list[tuple[int, Tensor]] = []
        self.refused = 0
        """Steps that the last `read` found refused."""

    def admit(self, norm: Tensor, iteration: int, *, at_once: bool) -> None:
        """Check the gradient norm () of the next step.

        With `at_once`, or where the optimizer cannot refuse on its device, this waits for it.

        Raises:
            NotFiniteError: the gradient is bad, or without `at_once` that of a step before.
        """
        if at_once or not getattr(self._optimizer, "_step_supports_amp_scaling", False):
            if not math.isfinite(float(norm)):
                raise NotFiniteError(PROBLEM)
            return
        is_bad = (~torch.isfinite(norm)).float()
        if self._unread:
            is_bad = torch.maximum(is_bad, self._unread[-1][1])
        self._unread.append((iteration, is_bad))
        # What torch's gradient scaler tells a fused optimizer: skip this step if it is 1.
        self._optimizer.grad_scale = None  # type: ignore[attr-defined]
        self._optimizer.found_inf = is_bad  # type: ignore[attr-defined]

    @property
    def is_due(self) -> bool:
        """Tell whether `read` has waited long enough."""
        return len(self._unread) >= READ_EVERY

    def read(self) -> None:
        """Read whether steps since the last time were refused; may wait for the device.

        Raises:
            NotFiniteError: names the batch of the first one refused; weights are as before it.
        """
        if not self._unread:
            return
        flags = torch.stack([flag for _, flag in self._unread]).tolist()
        iterations = [iteration for iteration, _ in self._unread]
        self._unread.clear()
        self.refused = sum(flag > 0 for flag in flags)
        if self.refused:
            first = iterations[len(flags) - self.refused]
            raise NotFiniteError(PROBLEM, first % self._batches_per_epoch)
