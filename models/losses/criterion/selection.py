"""Online hard example mining: only the elements with the highest loss learn."""

import torch
from torch import Tensor


class Selection:
    """Which elements of a batch count, by rank of their loss (Shrivastava et al. 2016,
    arXiv:1604.03540).

    Either a share of all elements, or all positives and a number of negatives per positive (Liu et
    al. 2016, arXiv:1512.02325). Ours: there is no suppression of overlapping boxes before; a batch
    without positives keeps as many negatives as if it had one; ties at the border are all kept.

    Args:
        share: kept share of all counted elements, in (0, 1].
        negatives_per_positive: above 0; the negatives with the highest loss.

    Raises:
        ValueError: not exactly one of the two, or out of range.
    """

    def __init__(
        self, *, share: float | None = None, negatives_per_positive: float | None = None
    ) -> None:
        if (share is None) == (negatives_per_positive is None):
            raise ValueError("Selection: give either share or negatives_per_positive")
        if share is not None and not 0 < share <= 1:
            raise ValueError(f"Selection: share must be in (0, 1], got {share}")
        if negatives_per_positive is not None and not negatives_per_positive > 0:
            raise ValueError(
                f"Selection: negatives_per_positive must exceed 0, got {negatives_per_positive}"
            )
        self.share = share
        self.negatives_per_positive = negatives_per_positive

    @torch.no_grad()
    def __call__(self, losses: Tensor, is_positive: Tensor, counted: Tensor | None) -> Tensor:
        """Return (n,) or (n, C) bool: which elements learn.

        Args:
            losses: (n,) or (n, C).
            is_positive: same shape.
            counted: broadcastable to it, or None for all.
        """
        candidates = torch.ones_like(is_positive)
        if counted is not None:
            candidates = candidates & counted
        if self.negatives_per_positive is not None:
            positives = candidates & is_positive
            wanted = _times(positives.sum().clamp(min=1), self.negatives_per_positive)
            return positives | _hardest(losses, candidates & ~is_positive, wanted)
        return _hardest(losses, candidates, _times(candidates.sum(), self.share or 1.0))


def _times(count: Tensor, factor: float) -> Tensor:
    """Return the product rounded up; in millionths, as 25 times 0.6 exceeds 15 in float32."""
    return (count * round(factor * 1_000_000) + 999_999) // 1_000_000


def _hardest(losses: Tensor, candidates: Tensor, wanted: Tensor) -> Tensor:
    """Return the candidates whose loss is among the `wanted` highest of them, at least one."""
    if losses.numel() == 0:
        return candidates
    ranked = torch.where(candidates, losses, -torch.inf).flatten().sort(descending=True).values
    last = (wanted - 1).clamp(0, len(ranked) - 1)
    return candidates & (losses >= ranked[last])
