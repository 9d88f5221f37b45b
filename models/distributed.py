"""Sums over the processes of one training; in a single process nothing happens."""

import torch.distributed as dist
from torch import Tensor


def num_ranks() -> int:
    """Return the number of processes of the training, 1 where there is only this one."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


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
