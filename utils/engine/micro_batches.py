"""Micro-batches: a batch is computed in as many parts as fit into memory."""

import logging
from collections.abc import Callable, Sequence

import torch

from configs.schema.train import TrainSettings
from utils.runtime.errors import UserError
from utils.runtime.machine.memory import GIB, is_out_of_memory, total_memory, used_memory
from utils.structures.batch import Batch
from utils.structures.loss_terms import LossTerms

logger = logging.getLogger(__name__)


class MicroBatches:
    """Splits batches once the device ran out of memory; images per optimizer step stay the same.

    Every part is weighted by its images. Batch statistics, and losses that are means over the
    matches, are those of each part.
    """

    def __init__(self, *, may_halve: bool) -> None:
        self.may_halve = may_halve
        self.parts = 1

    def run(
        self,
        batch: Batch,
        compute: Callable[[Batch], LossTerms],
        *,
        undo: Callable[[], None],
    ) -> LossTerms:
        """Return the terms of a batch; `compute` may be called for parts of it, one by one.

        Args:
            batch: the whole.
            compute: forward and backward pass of a part.
            undo: takes back the gradients of parts whose batch is computed again.

        Raises:
            RuntimeError, MemoryError: out of memory where halving is not allowed or one image is
                too much; whatever else `compute` raises.
        """
        while True:
            try:
                return joined([compute(part) for part in batch.split(self.parts)])
            except (RuntimeError, MemoryError) as error:
                is_too_much = is_out_of_memory(error)
                if not is_too_much or not self.may_halve or self.parts >= len(batch):
                    raise
            # Outside the handler: its traceback would keep the tensors of the failed pass alive.
            undo()
            self.parts *= 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            logger.warning(
                "out of memory: batches of %d images are computed in %d parts from here on",
                len(batch),
                self.parts,
            )


def joined(parts: Sequence[LossTerms]) -> LossTerms:
    """Return the terms of a whole batch from those of its parts; means are weighted by images."""
    if len(parts) == 1:
        return parts[0]
    size = sum(part.batch_size for part in parts)

    def mean(name: str) -> torch.Tensor:
        return torch.stack([p[name].detach() * (p.batch_size / size) for p in parts]).sum()

    return LossTerms.of(
        {name: mean(name) for name in parts[0].names},
        num_foreground=torch.stack([part.num_foreground for part in parts]).sum(),
        batch_size=size,
    )


def too_little_memory(device: torch.device, settings: TrainSettings) -> UserError:
    """Return what to tell the user when a batch does not fit."""
    half = max(settings.batch_size // 2, 1)
    has = f"{used_memory(device) / GIB:.1f} of {total_memory(device) / GIB:.1f} GiB in use"
    ways = f"train.batch_size={half}" if half < settings.batch_size else "a smaller model.graph"
    return UserError(
        f"not enough memory on {device} ({has}) for train.batch_size={settings.batch_size} at "
        f"train.image_size={settings.image_size}: set {ways} (nominal_batch keeps the optimizer "
        "steps the same), train.batch_size=auto, a smaller train.image_size or train.oom=halve"
    )
