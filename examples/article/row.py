"""One row: what an article says, what comes out here, and whether that is what we expect."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.losses import FocalLoss


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """`holds` is False where the outcome is not the expected one: then the program fails."""

    name: str
    said: str
    ours: str
    holds: bool
    verdict: str


def figure(name: str, said: float, ours: float, *, within: float, note: str = "right") -> Row:
    """Return the row of a number that the article has right, to `within`."""
    return Row(
        name=name,
        said=f"{said:g}",
        ours=_shown(ours),
        holds=abs(ours - said) <= within,
        verdict=note,
    )


def wrong_figure(name: str, said: float, ours: float, *, within: float, why: str) -> Row:
    """Return the row of a number that the article has wrong by more than its rounding `within`."""
    return Row(
        name=name,
        said=f"{said:g}",
        ours=_shown(ours),
        holds=abs(ours - said) > within,
        verdict=f"WRONG: {why}",
    )


def missing_figure(
    name: str,
    ours: float,
    reference: float,
    *,
    within: float,
    note: str = "the article prints none",
) -> Row:
    """Return the row of a number that no article prints, checked against a reference."""
    return Row(
        name=name,
        said="-",
        ours=_shown(ours),
        holds=abs(ours - reference) <= within,
        verdict=note,
    )


def claim(name: str, said: str, ours: str, *, holds: bool, verdict: str = "right") -> Row:
    """Return the row of a statement; `holds` is the outcome of trying what we say of it."""
    return Row(name=name, said=said, ours=ours, holds=holds, verdict=verdict)


def refuses(attempt: Callable[[], object], *errors: type[Exception]) -> bool:
    """Whether the call raises one of the errors."""
    try:
        attempt()
    except errors:
        return True
    return False


def vector(*values: float) -> Tensor:
    """Return (n,) in float64."""
    return torch.tensor(values, dtype=torch.float64)


def focal(
    gamma: float, alpha: float | None, *, reduction: str = "none", pos_weight: float | None = None
) -> FocalLoss:
    """Return the articles' wrapper in our hands."""
    weight = None if pos_weight is None else torch.tensor(pos_weight, dtype=torch.float64)
    loss = nn.BCEWithLogitsLoss(reduction=reduction, pos_weight=weight)
    return FocalLoss(loss, gamma, alpha)


def bce(logits: Tensor, targets: Tensor) -> Tensor:
    """Return binary cross-entropy of each element."""
    return nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")


def slope(loss: nn.Module, logits: Tensor, targets: Tensor) -> Tensor:
    """Return d loss / d logits (...,), of the sum where the loss does not reduce."""
    leaf = logits.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(leaf, targets).sum(), leaf)
    return gradient


def _shown(value: float) -> str:
    return f"{value:.9g}"
