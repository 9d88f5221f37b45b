"""`GhmLoss`: the gradient harmonizing mechanism for classification, GHM-C."""

from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch's own documentation uses
from torch import Tensor, nn

from models.distributed import sum_over_ranks
from models.losses.fused import prepared


class GhmLoss(nn.Module):
    """Cross-entropy divided by the density of gradients.

    Many equally easy (or equally hard) elements together count as much as single ones. With g = |p
    - t| in M equal bins and S the running average of how many of N elements fall into each, the
    weight is N / (S M); Li et al. 2019 (arXiv:1811.05181), section 3. `divide_by` "occupied" puts
    the number of bins that contain anything in place of M, as its public code does. No gradient
    flows through the weight. The average starts with the first batch; counts are those of all
    ranks.
    """

    needs_counted = True
    density: Tensor

    def __init__(
        self, *, bins: int, momentum: float, divide_by: Literal["bins", "occupied"]
    ) -> None:
        super().__init__()
        self.bins = bins
        self.momentum = momentum
        self.divide_by = divide_by
        self.register_buffer("density", torch.zeros(bins, dtype=torch.float64))

    def forward(self, logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return the loss (n,) or (n, C) of logits against targets in [0, 1].

        Args:
            logits: (n,) or (n, C).
            targets: same shape.
            counted: rows (n,) that exist; the others fill no bin. None for all.
        """
        logits, targets = prepared(logits, targets, "GhmLoss")
        losses = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return losses * self._weights(logits, targets, counted)

    @torch.no_grad()
    def _weights(self, logits: Tensor, targets: Tensor, counted: Tensor | None) -> Tensor:
        gradient = (logits.sigmoid() - targets).abs()
        place = (gradient * self.bins).long().clamp_(max=self.bins - 1)
        exists = torch.ones_like(gradient)
        if counted is not None:
            exists = exists * (counted if gradient.ndim == 1 else counted[:, None])
        counts = self.density.new_zeros(self.bins)
        counts = counts.index_add(0, place.flatten(), exists.flatten().to(counts))
        counts = sum_over_ranks(counts)
        density = self._smoothed(counts)
        divisor = (counts > 0).sum() if self.divide_by == "occupied" else self.bins
        weights = counts.sum() / (density * divisor).clamp(min=1e-9)
        return weights.to(logits.dtype)[place]

    def _smoothed(self, counts: Tensor) -> Tensor:
        """Return the running average of the counts per bin; a first batch is its own average.

        Only bins that contain something move, so that an empty one does not make its next few
        elements count without bound.
        """
        started = self.density * self.momentum + counts * (1 - self.momentum)
        density = torch.where(self.density > 0, started, counts)
        density = torch.where(counts > 0, density, self.density)
        if self.training:
            self.density.copy_(density)
        return density
