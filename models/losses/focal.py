"""`FocalLoss`: the focal family, a wrapper of `torch.nn.BCEWithLogitsLoss`.

The arithmetic is in `focal_formula.py`.
"""

from collections.abc import Sequence
from typing import get_args

import torch
import torch.nn.functional as F  # noqa: N812 - the name torch's own documentation uses
from torch import Tensor, nn

from models.losses.focal_formula import FocalForm, FocalFormula
from models.losses.fused import FusedFunction, FusedSum, prepared

_MAX_GAMMA = 10.0


class FocalLoss(nn.Module):
    """Focal loss: binary cross-entropy times a factor that is small for well-classified examples.

    loss = alpha_t * miss^gamma * BCE(logit, t), with p = sigmoid(logit), alpha_t = alpha t +
    (1 - alpha)(1 - t), and `miss` by `form`:

    * linear: 1 - p_t with p_t = t p + (1 - t)(1 - p). Lin et al. 2017 (arXiv:1708.02002), and what
      YOLOv5 does. On soft targets its minimum is not at p = t: t = 0.7 is driven to p = 0.846.
    * exp: 1 - exp(-BCE), with BCE before pos_weight. Minimum at p = t.
    * quality: |t - p|. Li et al. 2020 (arXiv:2006.04388), here with alpha. Minimum at p = t.

    All three are the same on hard targets. gamma never raises a loss; alpha = 0.25 makes positives
    three times weaker than negatives. gamma = 0 with alpha = None is torch's own function, equal to
    it bit for bit in value and gradient.

    Takes over the wrapped module's `weight`, `pos_weight` and `reduction` (none, mean, sum) and
    never changes it. pos_weight multiplies the positive part of BCE and nothing else.

    Args:
        loss: an `nn.BCEWithLogitsLoss`.
        gamma: focusing exponent in [0, 10].
        alpha: weight of positives in [0, 1]; negatives get 1 - alpha; None weights neither. One
            number, or one a class (C,) for logits (..., C).
        form: how far a prediction is from a soft target.

    Raises:
        TypeError: `loss` is anything else (a plain BCELoss would take the sigmoid twice).
        ValueError: gamma, alpha or form out of range.
    """

    def __init__(
        self,
        loss: nn.BCEWithLogitsLoss,
        gamma: float = 1.5,
        alpha: float | Sequence[float] | None = 0.25,
        *,
        form: FocalForm = "linear",
    ) -> None:
        super().__init__()
        # A subclass with a forward of its own is another loss: its arithmetic would be ignored.
        if getattr(type(loss), "forward", None) is not nn.BCEWithLogitsLoss.forward:
            raise TypeError(
                f"FocalLoss wraps nn.BCEWithLogitsLoss(), got {type(loss).__name__}; "
                "the loss must take logits, not probabilities"
            )
        if not 0 <= gamma <= _MAX_GAMMA:
            raise ValueError(f"FocalLoss: gamma must be in [0, {_MAX_GAMMA:g}], got {gamma}")
        alphas = [] if alpha is None else [alpha] if isinstance(alpha, int | float) else alpha
        if not all(0 <= value <= 1 for value in alphas):
            raise ValueError(f"FocalLoss: alpha must be in [0, 1] or None, got {alpha}")
        if form not in get_args(FocalForm):
            raise ValueError(f"FocalLoss: form must be linear, exp or quality, got {form!r}")
        self.loss = loss
        self.gamma = float(gamma)
        self.alpha = alpha if alpha is None or alphas is alpha else float(alphas[0])
        self.form: FocalForm = form

    @property
    def reduction(self) -> str:
        """The wrapped loss's reduction: none, mean or sum."""
        return self.loss.reduction

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss of logits (...,) against targets (...,) in [0, 1].

        Half precision is computed and returned in float32, under autocast too: sigmoid reaches 1
        at a logit of 6 to 8 there. No gradient flows to the targets.

        Returns:
            A scalar for mean and sum, (...,) for none; mean of no element is NaN, as in torch.

        Raises:
            ValueError: the shapes differ.
        """
        logits, targets = prepared(logits, targets, "FocalLoss")
        if self.gamma == 0:
            return self._without_focus(logits, targets)
        formula, operands = self._formula(logits)
        if self.reduction != "none" and self.loss.weight is None:
            total: Tensor = FusedSum.apply(logits, targets, formula, *operands)
            return total / logits.numel() if self.reduction == "mean" else total
        losses: Tensor = FusedFunction.apply(logits, targets, formula, *operands)
        if self.loss.weight is not None:
            losses = losses * self.loss.weight
        return _reduce(losses, self.reduction)

    def extra_repr(self) -> str:
        """Return the settings as torch prints them."""
        return f"gamma={self.gamma}, alpha={self.alpha}, form={self.form}"

    def _without_focus(self, logits: Tensor, targets: Tensor) -> Tensor:
        weight, pos_weight = self.loss.weight, self.loss.pos_weight
        if self.alpha is None:
            return F.binary_cross_entropy_with_logits(
                logits, targets, weight, pos_weight=pos_weight, reduction=self.reduction
            )
        losses = F.binary_cross_entropy_with_logits(
            logits, targets, weight, pos_weight=pos_weight, reduction="none"
        )
        alpha = torch.as_tensor(self.alpha).to(logits)
        alpha_t = targets * alpha + (1 - targets) * (1 - alpha)
        return _reduce(alpha_t * losses, self.reduction)

    def _formula(self, logits: Tensor) -> tuple[FocalFormula, list[Tensor]]:
        """Return the formula and what differs by class or element, in the type of logits."""
        operands = {}
        if not isinstance(self.alpha, float | None):
            operands["alpha"] = logits.new_tensor(list(self.alpha))
        if self.loss.pos_weight is not None:
            operands["pos_weight"] = self.loss.pos_weight.to(logits.dtype)
        scalar = self.alpha if isinstance(self.alpha, float) else None
        formula = FocalFormula(
            form=self.form, gamma=self.gamma, alpha=scalar, operands=tuple(operands)
        )
        return formula, list(operands.values())


def _reduce(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses
