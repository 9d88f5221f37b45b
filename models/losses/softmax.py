"""Losses of one distribution over the classes: softmax cross-entropy, focal, seesaw."""

import torch
from torch import Tensor, nn

from models.distributed import sum_over_ranks
from models.losses.fused import prepared


class SoftmaxLoss(nn.Module):
    """(1 - p)^gamma times the cross-entropy of a softmax, summed over targets; gamma 0 is plain.

    Lin et al. 2017 (arXiv:1708.02002) with a softmax. gamma weighs samples by difficulty, not
    classes; no loss ever grows by it. Targets are a distribution: a soft row (overlap as the target
    of the true class) keeps its sum as the weight of the row.
    """

    over_classes = True

    def __init__(self, *, gamma: float = 0.0) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss (n,) of logits (n, C) against targets (n, C) in [0, 1]."""
        logits, targets = prepared(logits, targets, "SoftmaxLoss")
        log_p = logits.log_softmax(dim=1)
        losses = -targets * log_p
        if self.gamma:
            losses = losses * torch.exp(self.gamma * _log_complement(log_p))
        return losses.sum(dim=1)


class SeesawLoss(nn.Module):
    """Softmax cross-entropy whose wrong classes weigh S_ij = M_ij C_ij for true class i.

    M_ij = min(1, (N_j / N_i)^mitigation) by the number of matches seen so far, so that frequent
    classes push rare ones down less; C_ij = max(1, p_j / p_i)^compensation, so that this is taken
    back where a wrong class really has the higher score. Wang et al. 2021 (arXiv:2008.10032). Ours:
    no normalised linear classifier, the class logits come from the head's convolution. No gradient
    flows through the weights. The counts are part of the state, of all ranks, and include the batch
    at hand; they grow in training mode only.
    """

    over_classes = True
    needs_counted = True
    class_counts: Tensor

    def __init__(self, num_classes: int, *, mitigation: float, compensation: float) -> None:
        super().__init__()
        self.mitigation = mitigation
        self.compensation = compensation
        self.register_buffer("class_counts", torch.zeros(num_classes, dtype=torch.float64))

    def forward(self, logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return the loss (n,) of logits (n, C) against targets (n, C).

        The true class is that of the highest target, which also weighs the row.
        """
        logits, targets = prepared(logits, targets, "SeesawLoss")
        weight, label = targets.max(dim=1)
        counts = self._counts(label, (weight > 0) if counted is None else counted & (weight > 0))
        log_factor = self._log_factors(logits.detach(), label, counts)
        rivals = logits + log_factor
        return weight * (rivals.logsumexp(dim=1) - logits.gather(1, label[:, None])[:, 0])

    @torch.no_grad()
    def _counts(self, label: Tensor, counted: Tensor) -> Tensor:
        """Return the counts (C,) with those of this batch."""
        fresh = torch.zeros_like(self.class_counts).index_add(
            0, label, counted.to(self.class_counts)
        )
        counts = self.class_counts + sum_over_ranks(fresh)
        if self.training:
            self.class_counts.copy_(counts)
        return counts

    @torch.no_grad()
    def _log_factors(self, logits: Tensor, label: Tensor, counts: Tensor) -> Tensor:
        """Return log S_ij (n, C) of each row's true class i."""
        log_counts = counts.clamp(min=1).log().to(logits.dtype)
        mitigation = (self.mitigation * (log_counts[None] - log_counts[label][:, None])).clamp(
            max=0
        )
        log_p = logits.log_softmax(dim=1)
        advantage = (log_p - log_p.gather(1, label[:, None])).clamp(min=0)
        is_true = label[:, None] == torch.arange(logits.shape[1], device=logits.device)
        return torch.where(is_true, 0.0, mitigation + self.compensation * advantage)


def _log_complement(log_p: Tensor) -> Tensor:
    """Return log(1 - p), finite value and slope where p rounds to 1."""
    return (-torch.expm1(log_p.clamp(max=-1e-30))).log()
