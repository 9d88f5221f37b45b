"""`EqualizedFocalLoss`: a focusing exponent of its own for each class, from its gradients."""

import torch
from torch import Tensor

from models.distributed import sum_over_ranks
from models.losses.focal_formula import FocalFormula
from models.losses.fused import SigmoidLoss


class EqualizedFocalLoss(SigmoidLoss):
    """(gamma_j / gamma) alpha_t (1 - p_t)^gamma_j BCE with gamma_j = gamma + s (1 - g_j).

    g_j in [0, 1] is the gradient that class j has got as a positive over that as a negative, summed
    over the training so far and all ranks, 1 at the start: a class in balance has focal loss. The
    gradient is that of cross-entropy, |p - t|. Li et al. 2022 (arXiv:2201.02593). The sums are part
    of the state; they grow in training mode only, and the exponents of a batch are those before it.
    """

    needs_counted = True
    positive_gradient: Tensor
    negative_gradient: Tensor

    def __init__(
        self, num_classes: int, *, gamma: float, alpha: float | None, scale_factor: float
    ) -> None:
        super().__init__()
        self.gamma = gamma
        self.scale_factor = scale_factor
        self.formula = FocalFormula(form="linear", alpha=alpha, operands=("gamma",))
        self.register_buffer("positive_gradient", torch.zeros(num_classes, dtype=torch.float64))
        self.register_buffer("negative_gradient", torch.zeros(num_classes, dtype=torch.float64))

    def forward(self, logits: Tensor, targets: Tensor, counted: Tensor | None = None) -> Tensor:
        """Return the loss (n,) or (n, C) of logits against targets in [0, 1].

        Args:
            logits: (n, C), or (n,) where there is one class.
            targets: same shape.
            counted: rows (n,) whose gradients are summed up; None for all.
        """
        exponents = self.exponents()
        losses = super().forward(logits, targets)
        if self.training:
            self._accumulate(logits.detach(), targets, counted)
        return losses * (exponents / self.gamma).to(losses.dtype)

    def exponents(self) -> Tensor:
        """Return gamma_j of each class, (C,)."""
        balance = self.positive_gradient / self.negative_gradient.clamp(min=1e-12)
        balance = torch.where(self.negative_gradient > 0, balance.clamp(max=1), 1.0)
        return self.gamma + self.scale_factor * (1 - balance)

    def operands(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """Return the exponents."""
        return (self.exponents(),)

    def value_and_slope(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x of a block, without the factor gamma_j / gamma."""
        return self.formula(x, t, *operands)

    @torch.no_grad()
    def _accumulate(self, logits: Tensor, targets: Tensor, counted: Tensor | None) -> None:
        columns = len(self.positive_gradient)
        gradient = (
            (logits.to(self.positive_gradient.dtype).sigmoid() - targets).abs().view(-1, columns)
        )
        if counted is not None:
            gradient = gradient * counted[:, None]
        is_positive = targets.view(-1, columns) > 0
        sums = torch.stack(
            (
                torch.where(is_positive, gradient, 0.0).sum(dim=0),
                torch.where(is_positive, 0.0, gradient).sum(dim=0),
            )
        )
        positive, negative = sum_over_ranks(sums)
        self.positive_gradient += positive
        self.negative_gradient += negative
