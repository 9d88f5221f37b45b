"""Weights of classes by how many objects they have."""

from collections.abc import Sequence


def effective_number_weights(counts: Sequence[float], *, beta: float) -> tuple[float, ...]:
    """Return weights (C,) of sum C, inverse to (1 - beta^n) / (1 - beta).

    Cui et al. 2019 (arXiv:1901.05555), section 4. Ours: a class without objects counts as one.

    Args:
        counts: objects of each class in the training split, at least 0.
        beta: in (0, 1); towards 1 the weights become those of inverse frequency.
    """
    inverse = [(1 - beta) / (1 - beta ** max(count, 1)) for count in counts]
    scale = len(inverse) / sum(inverse)
    return tuple(weight * scale for weight in inverse)
