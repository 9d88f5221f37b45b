"""Where a loss of one logit is least: the probability that a target drives predictions to."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

_ROUNDS = 40
_POINTS = 21
"""Each round keeps a tenth of the interval, at most; float64 tells no more apart long before."""


def soft_target_minimiser(loss: nn.Module, target: float) -> float:
    """Return the probability p at which the loss of soft `target` in [0, 1] is least.

    Args:
        loss: takes logits and targets (n,) and returns (n,), not reduced.
        target: t in [0, 1].
    """
    return _least(lambda logits: loss(logits, torch.full_like(logits, target)))


def hard_target_minimiser(loss: nn.Module, positive_share: float) -> float:
    """Return the probability p at which the mean loss of hard targets is least.

    Args:
        loss: takes logits and targets (n,) and returns (n,), not reduced.
        positive_share: how many of the targets are 1, the others are 0; in (0, 1).
    """

    def mean_loss(logits: Tensor) -> Tensor:
        positive: Tensor = loss(logits, torch.ones_like(logits))
        negative: Tensor = loss(logits, torch.zeros_like(logits))
        return positive_share * positive + (1 - positive_share) * negative

    return _least(mean_loss)


def _least(value: Callable[[Tensor], Tensor]) -> float:
    """Search p in (0, 1) with one valley, to about 1e-7; an end of it means there is none."""
    low, high = 1e-9, 1 - 1e-9
    for _ in range(_ROUNDS):
        p = torch.linspace(low, high, _POINTS, dtype=torch.float64)
        best = int(value(p.logit()).argmin())
        low, high = p[max(best - 1, 0)].item(), p[min(best + 1, _POINTS - 1)].item()
        if high - low < 1e-10:
            break
    return (low + high) / 2
