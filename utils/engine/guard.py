"""Batches whose loss or gradient is NaN or infinite: left out, or the end of the training."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from utils.engine.loss_log import NotFiniteError
from utils.structures.batch import Batch

logger = logging.getLogger(__name__)

MOST_IN_A_ROW = 10
MOST_SAVED = 3
SHOWN_IMAGES = 3

Explain = Callable[[Batch, int, str], str]
"""From batch, iteration and what was wrong to words; may save the batch."""


class FiniteGuard:
    """Lets a training go on without the batches that are not finite, if that is allowed.

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
                logger.warning("left out: %s", self.explain(batch, iteration, str(error)))
        else:
            logger.warning("left out: %s; %d batches so far", error, self.left_out)


def name_images(batch: Batch) -> str:
    """Return the file names of a batch's images, the first ones of many."""
    names = [Path(meta.path).name for meta in batch.metas]
    more = f" and {len(names) - SHOWN_IMAGES} more" if len(names) > SHOWN_IMAGES else ""
    return ", ".join(names[:SHOWN_IMAGES]) + more
