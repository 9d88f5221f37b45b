"""Sums over the processes of one training; in a single process nothing happens."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch.distributed as dist
from torch import Tensor

_is_alone = ContextVar("_is_alone", default=False)


@contextmanager
def without_other_ranks() -> Iterator[None]:
    """Count this process alone: its batches are not those that the others have at this moment."""
    before = _is_alone.set(True)
    try:
        yield
    finally:
        _is_alone.reset(before)


def num_ranks() -> int:
    """Return the number of processes of the training, 1 where there is only this one."""
    has_others = dist.is_available() and dist.is_initialized() and not _is_alone.get()
    return dist.get_world_size() if has_others else 1


def sum_over_ranks(values: Tensor, *, average: bool = False) -> Tensor:
    """Return `values` summed (or averaged) over all processes of the training, without gradient."""
    values = values.detach()
    ranks = num_ranks()
    if ranks == 1:
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / ranks if average else total


def share_of_count(count: Tensor) -> Tensor:
    """Return by what each process divides its part of a sum, so that the parts average to a mean.

    `count` (any shape) is how many elements count here. Over all processes they are at least 1;
    processes have equal numbers of images, so each one's share is the total divided by their
    number.
    """
    ranks = num_ranks()
    if ranks == 1:
        return count.clamp(min=1)
    return sum_over_ranks(count).clamp(min=1) / ranks
