"""Sums over the processes of one training; in a single process nothing happens."""

import torch.distributed as dist
from torch import Tensor


def sum_over_ranks(values: Tensor, *, average: bool = False) -> Tensor:
    """Return `values` summed (or averaged) over all processes of the training, without gradient."""
    values = values.detach()
    if not (dist.is_available() and dist.is_initialized()):
        return values
    total = values.clone()
    dist.all_reduce(total)
    return total / dist.get_world_size() if average else total
