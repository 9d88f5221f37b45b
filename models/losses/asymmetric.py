"""`AsymmetricLoss`: separate focusing exponents for positives and negatives."""

from torch import Tensor

from models.losses.fused import Odds, SigmoidLoss


class AsymmetricLoss(SigmoidLoss):
    """t q^g+ (-log p) + (1 - t) m^g- (-log(1 - m)) with m = max(p - margin, 0).

    Ridnik et al. 2021 (arXiv:2009.14119), made for multi-label classification with hard targets.
    Ours: the gradient flows through both weights; soft targets mix the two halves, and the minimum
    is not at p = t.
    """

    def __init__(self, *, gamma_positive: float, gamma_negative: float, margin: float) -> None:
        super().__init__()
        self.gamma_positive = gamma_positive
        self.gamma_negative = gamma_negative
        self.margin = margin

    def value_and_slope(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x of a block."""
        odds = Odds(x)
        positive, negative = self._positive(odds), self._negative(odds)
        return (
            t * positive[0] + (1 - t) * negative[0],
            t * positive[1] + (1 - t) * negative[1],
        )

    def _positive(self, odds: Odds) -> tuple[Tensor, Tensor]:
        weight = odds.q.pow(self.gamma_positive)
        slope = -weight * (odds.q + self.gamma_positive * odds.p * odds.minus_log_p)
        return weight * odds.minus_log_p, slope

    def _negative(self, odds: Odds) -> tuple[Tensor, Tensor]:
        shifted = (odds.p - self.margin).clamp(min=0)
        # Without a margin 1 - shifted is q, which must not be computed as a difference.
        remaining = odds.q + self.margin
        loss = odds.minus_log_q if self.margin == 0 else -remaining.clamp(max=1).log()
        # q / remaining is 1 without a margin, where both may be 0.
        share = 1.0 if self.margin == 0 else odds.q / remaining
        weight = shifted.pow(self.gamma_negative - 1)
        # d m / d x = p q where the margin is passed.
        slope = weight * odds.p * (self.gamma_negative * odds.q * loss + shifted * share)
        return weight * shifted * loss, slope * (shifted > 0)
