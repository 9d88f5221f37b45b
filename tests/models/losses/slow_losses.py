"""Slow references of the loss family: `math`, one element or one row at a time, from the papers.

Probabilities are made here by their textbook formulas, so logits have to stay moderate.
"""

import math
from collections.abc import Callable, Sequence

Rows = Sequence[Sequence[float]]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def cross_entropy(x: float, t: float) -> float:
    p = sigmoid(x)
    return -t * math.log(p) - (1 - t) * math.log(1 - p)


def bce(x: float, t: float, *, pos_weight: float = 1.0) -> float:
    p = sigmoid(x)
    return -pos_weight * t * math.log(p) - (1 - t) * math.log(1 - p)


def _alpha_t(t: float, alpha: float | None) -> float:
    return 1.0 if alpha is None else t * alpha + (1 - t) * (1 - alpha)


def bce_alpha(x: float, t: float, *, alpha: float) -> float:
    return _alpha_t(t, alpha) * cross_entropy(x, t)


def focal(x: float, t: float, *, gamma: float, alpha: float | None, form: str = "quality") -> float:
    p = sigmoid(x)
    miss = {
        "linear": 1 - t * p - (1 - t) * (1 - p),
        "exp": 1 - math.exp(-cross_entropy(x, t)),
        "quality": abs(t - p),
    }[form]
    return _alpha_t(t, alpha) * miss**gamma * cross_entropy(x, t)


def focal_star(x: float, t: float, *, gamma: float, beta: float) -> float:
    return -math.log(sigmoid(gamma * (2 * t - 1) * x + beta)) / gamma


def varifocal(x: float, t: float, *, alpha: float, gamma: float) -> float:
    weight = t if t > 0 else alpha * sigmoid(x) ** gamma
    return weight * cross_entropy(x, t)


def asymmetric(
    x: float, t: float, *, gamma_positive: float, gamma_negative: float, margin: float
) -> float:
    p = sigmoid(x)
    shifted = max(p - margin, 0.0)
    positive = (1 - p) ** gamma_positive * -math.log(p)
    negative = shifted**gamma_negative * -math.log(1 - shifted)
    return t * positive + (1 - t) * negative


def poly(x: float, t: float, *, epsilon: float) -> float:
    p = sigmoid(x)
    return cross_entropy(x, t) + epsilon * (1 - t * p - (1 - t) * (1 - p))


def poly_focal(x: float, t: float, *, gamma: float, alpha: float | None, epsilon: float) -> float:
    p = sigmoid(x)
    miss = 1 - t * p - (1 - t) * (1 - p)
    added = epsilon * miss ** (gamma + 1)
    return _alpha_t(t, alpha) * (miss**gamma * cross_entropy(x, t) + added)


def reduced_focal(
    x: float, t: float, *, gamma: float, alpha: float | None, threshold: float
) -> float:
    p = sigmoid(x)
    p_t = t * p + (1 - t) * (1 - p)
    focus = 1.0 if p_t < threshold else ((1 - p_t) / (1 - threshold)) ** gamma
    return _alpha_t(t, alpha) * focus * cross_entropy(x, t)


def bce_blur(x: float, t: float, *, temperature: float) -> float:
    gap = sigmoid(x) - t
    return cross_entropy(x, t) * (1 - math.exp((gap - 1) / (temperature + 1e-4)))


ELEMENTWISE: dict[str, Callable[..., float]] = {
    "bce": bce,
    "bce_alpha": bce_alpha,
    "focal": focal,
    "focal_star": focal_star,
    "varifocal": varifocal,
    "asymmetric": asymmetric,
    "poly": poly,
    "poly_focal": poly_focal,
    "reduced_focal": reduced_focal,
    "bce_blur": bce_blur,
}
"""By configuration name: losses of one logit and its target, without state."""


def softmax(row: Sequence[float]) -> list[float]:
    powers = [math.exp(z) for z in row]
    return [power / sum(powers) for power in powers]


def softmax_focal(row: Sequence[float], targets: Sequence[float], *, gamma: float = 0.0) -> float:
    return sum(
        -t * (1 - p) ** gamma * math.log(p) for p, t in zip(softmax(row), targets, strict=True)
    )


def dice(scores: Sequence[float], targets: Sequence[float]) -> float:
    both = sum(s * t for s, t in zip(scores, targets, strict=True))
    squares = sum(s * s for s in scores) + sum(t * t for t in targets)
    return 1 - (2 * both + 1) / (squares + 1)


class SlowSeesaw:
    """Wang et al. 2021, equations 4 to 7, row by row; the batch is counted first."""

    def __init__(self, num_classes: int, *, mitigation: float, compensation: float) -> None:
        self.counts = [0] * num_classes
        self.mitigation = mitigation
        self.compensation = compensation

    def __call__(self, logits: Rows, labels: Sequence[int]) -> list[float]:
        for label in labels:
            self.counts[label] += 1
        return [self._row(row, label) for row, label in zip(logits, labels, strict=True)]

    def _row(self, row: Sequence[float], true: int) -> float:
        p = softmax(row)
        below = math.exp(row[true])
        for other in range(len(row)):
            if other == true:
                continue
            ratio = max(self.counts[other], 1) / max(self.counts[true], 1)
            mitigated = min(1.0, ratio**self.mitigation)
            compensated = max(1.0, (p[other] / p[true]) ** self.compensation)
            below += mitigated * compensated * math.exp(row[other])
        return -math.log(math.exp(row[true]) / below)


class SlowEqualized:
    """Li et al. 2022, equations 4 to 6: sums of |p - t| per class, exponents from those before."""

    def __init__(
        self, num_classes: int, *, gamma: float, alpha: float | None, scale_factor: float
    ) -> None:
        self.positive = [0.0] * num_classes
        self.negative = [0.0] * num_classes
        self.gamma = gamma
        self.alpha = alpha
        self.scale_factor = scale_factor

    def __call__(self, logits: Rows, targets: Rows, counted: Sequence[bool]) -> list[list[float]]:
        exponents = [self.exponent(label) for label in range(len(self.positive))]
        losses = [
            [
                exponents[label]
                / self.gamma
                * focal(x, t, gamma=exponents[label], alpha=self.alpha, form="linear")
                for label, (x, t) in enumerate(zip(row, wanted, strict=True))
            ]
            for row, wanted in zip(logits, targets, strict=True)
        ]
        for row, wanted, exists in zip(logits, targets, counted, strict=True):
            for label, (x, t) in enumerate(zip(row, wanted, strict=True)):
                side = self.positive if t > 0 else self.negative
                side[label] += abs(sigmoid(x) - t) * exists
        return losses

    def exponent(self, label: int) -> float:
        balance = 1.0
        if self.negative[label] > 0:
            balance = min(1.0, self.positive[label] / self.negative[label])
        return self.gamma + self.scale_factor * (1 - balance)


class SlowGhm:
    """Li et al. 2019, equations 8, 9 and 14 over plain lists; an empty bin keeps its average."""

    def __init__(self, *, bins: int, momentum: float, divide_by: str) -> None:
        self.bins = bins
        self.momentum = momentum
        self.divide_by = divide_by
        self.average: dict[int, float] = {}

    def __call__(
        self, logits: Sequence[float], targets: Sequence[float], counted: Sequence[bool]
    ) -> list[float]:
        """Losses of the elements that are counted; the others are meaningless and 0 here."""
        places = [
            min(int(abs(sigmoid(x) - t) * self.bins), self.bins - 1)
            for x, t in zip(logits, targets, strict=True)
        ]
        held = [place for place, exists in zip(places, counted, strict=True) if exists]
        for place in set(held):
            found = float(held.count(place))
            before = self.average.get(place, found)
            self.average[place] = self.momentum * before + (1 - self.momentum) * found
        divisor = self.bins if self.divide_by == "bins" else len(set(held))
        return [
            len(held) / (self.average[place] * divisor) * cross_entropy(x, t) if exists else 0.0
            for place, exists, x, t in zip(places, counted, logits, targets, strict=True)
        ]


def effective_number(count: float, beta: float) -> float:
    """1 + beta + beta^2 + ...: `count` summands."""
    return sum(beta**power for power in range(int(count)))


def hardest(losses: Sequence[float], wanted: int) -> set[int]:
    """Places of the `wanted` highest losses and of all that tie with the last of them."""
    if not losses:
        return set()
    border = sorted(losses, reverse=True)[min(max(wanted, 1), len(losses)) - 1]
    return {place for place, loss in enumerate(losses) if loss >= border}
