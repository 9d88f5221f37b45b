"""Value and derivative in one pass: the autograd function of all sigmoid losses.

A loss of one logit against one target has a slope that costs little beside its value. Computing
both at once saves one tensor for the backward pass instead of a dozen.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

Formula = Callable[..., tuple[Tensor, Tensor]]
"""Maps logits x, targets t and operands, all (n, C) or (n,), to loss and d loss / d x."""

_BLOCK = 1 << 15
"""Elements per thread treated at a time on a CPU. Their temporaries stay in the cache and are
reused; torch would not divide fewer among threads."""


class FusedFunction(torch.autograd.Function):
    """Loss of logits (...,) against targets (...,) by a formula, not reduced.

    Differentiable once, with respect to the logits only.
    """

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, formula: Formula, *operands: Tensor
    ) -> Tensor:
        """Return the loss (...,) and keep its slope for the backward pass.

        Args:
            ctx: what autograd carries to `backward`.
            logits: (...,) float32 or float64.
            targets: same shape and dtype, in [0, 1].
            formula: loss and slope of a block.
            operands: further arguments of the formula, broadcastable to logits.
        """
        loss = torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
        rows = _as_rows(logits, targets, operands)
        flat = loss.view(rows[0].shape)
        for part, values in _evaluate(ctx, logits.shape, rows, formula):
            flat[part] = values
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        """Return upstream (...,) or () times the kept slope; nothing for all other arguments."""
        (slope,) = ctx.saved_tensors
        return upstream * slope, *(None,) * (len(ctx.needs_input_grad) - 1)


class FusedSum(FusedFunction):
    """The sum of the loss, a scalar; the losses themselves are never all in memory."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, formula: Formula, *operands: Tensor
    ) -> Tensor:
        """Return the sum and keep the slope; arguments as in `FusedFunction`."""
        rows = _as_rows(logits, targets, operands)
        sums = [values.sum() for _, values in _evaluate(ctx, logits.shape, rows, formula)]
        return torch.stack(sums).sum() if sums else logits.new_zeros(())


def _evaluate(
    ctx: Any, shape: torch.Size, rows: list[Tensor], formula: Formula
) -> Iterator[tuple[slice, Tensor]]:
    """Yield the losses of each block of `rows`, (n,) or (n, C); keep their slopes, of `shape`."""
    x, t, *others = rows
    slope = torch.empty_like(x) if ctx.needs_input_grad[0] else None
    for part in _blocks(x):
        values = (other if other.numel() == 1 else other[part] for other in others)
        loss, part_slope = formula(x[part], t[part], *values)
        if slope is not None:
            slope[part] = part_slope
        yield part, loss
    if slope is not None:
        ctx.save_for_backward(slope.view(shape))


def _as_rows(logits: Tensor, targets: Tensor, operands: tuple[Tensor, ...]) -> list[Tensor]:
    """Return all as (n,), or as (n, C) where an operand differs along the last dimension."""
    if all(operand.numel() == 1 for operand in operands):
        return [logits.reshape(-1), targets.reshape(-1), *operands]
    # Expanded operands keep stride 0 when leading dimensions are merged: nothing is copied.
    spread = [o if o.numel() == 1 else o.expand_as(logits) for o in operands]
    return [
        o if o.numel() == 1 else o.reshape(-1, logits.shape[-1]) for o in (logits, targets, *spread)
    ]


def _blocks(x: Tensor) -> Iterator[slice]:
    """Yield parts of the rows of x (n,) or (n, C), of about `_BLOCK` elements on a CPU."""
    rows = len(x)
    step = max(1, rows)
    if x.device.type == "cpu":
        width = max(1, x[:1].numel())
        step = max(1, _BLOCK * torch.get_num_threads() // width)
    for start in range(0, rows, step):
        yield slice(start, start + step)


class SigmoidLoss(nn.Module, ABC):
    """Base of elementwise losses: one logit against one target.

    A subclass defines `value_and_slope`. Half precision is computed and returned in
    float32, under autocast too: sigmoid reaches 1 at a logit of 6 to 8 there.
    """

    def forward(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the loss (...,) of logits (...,) against targets (...,) in [0, 1]; no gradient
        flows to the targets.

        Raises:
            ValueError: the shapes differ.
        """
        logits, targets = prepared(logits, targets, type(self).__name__)
        operands = (operand.to(logits.dtype) for operand in self.operands(logits, targets))
        losses: Tensor = FusedFunction.apply(logits, targets, self.value_and_slope, *operands)
        return losses

    def operands(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
        """Return the further operands of the formula, broadcastable to logits and targets."""
        return ()

    @abstractmethod
    def value_and_slope(self, x: Tensor, t: Tensor, *operands: Tensor) -> tuple[Tensor, Tensor]:
        """Return loss and d loss / d x of a block, (n,) or (n, C) each."""


def prepared(logits: Tensor, targets: Tensor, name: str) -> tuple[Tensor, Tensor]:
    """Return logits (...,) in at least float32 and targets (...,) of the same type, no gradient.

    Raises:
        ValueError: the shapes differ; `name` says where.
    """
    if logits.shape != targets.shape:
        raise ValueError(
            f"{name}: targets {tuple(targets.shape)} must have the shape of "
            f"logits {tuple(logits.shape)}"
        )
    logits = at_least_float32(logits)
    return logits, targets.detach().to(logits.dtype)


def at_least_float32(x: Tensor) -> Tensor:
    """Return `x` (...,) in float32, or as it is where it is more precise."""
    return x if x.dtype == torch.float64 else x.float()


class Odds:
    """Numerically stable sigmoid quantities for one block of logits x.

    p and q = 1 - p, the probabilities; minus_log_p and minus_log_q, the cross-entropy against
    target 1 and 0. Nothing here is a difference of nearly equal numbers.
    d p / d x = p q; d minus_log_p / d x = -q; d minus_log_q / d x = p.
    """

    __slots__ = ("_against_p", "_against_q", "_rest", "p", "q")

    def __init__(self, x: Tensor) -> None:
        opposite = -x
        self.p = x.sigmoid()
        self.q = opposite.sigmoid()
        self._rest = _minus_log_likely(self.p, self.q)
        self._against_p = opposite.clamp_(min=0)
        self._against_q = x.clamp(min=0)

    @property
    def minus_log_p(self) -> Tensor:
        """-log p."""
        return self._against_p + self._rest

    @property
    def minus_log_q(self) -> Tensor:
        """-log q."""
        return self._against_q + self._rest

    def cross_entropy(self, t: Tensor) -> Tensor:
        """Return -t log p - (1 - t) log q; its slope is `error`."""
        return torch.lerp(self._against_q, self._against_p, t).add_(self._rest)

    def error(self, t: Tensor) -> Tensor:
        """Return p - t, exact where p rounds to t = 1; its slope is p q."""
        return torch.lerp(self.p, -self.q, t)

    def miss(self, t: Tensor) -> Tensor:
        """Return 1 - p_t with p_t = t p + (1 - t) q; its slope is (1 - 2 t) p q."""
        return torch.lerp(self.p, self.q, t)


def _minus_log_likely(p: Tensor, q: Tensor) -> Tensor:
    """Return log(1 + exp(-|x|)), which is -log max(p, q), of p and q = 1 - p.

    The rounding of the larger one is put back: where it is 1, the result is the smaller one. Costs
    an ordinary logarithm; log1p takes 20 times as long on some CPUs with AVX-512.
    """
    likely = torch.maximum(p, q)
    rounding = torch.minimum(p, q).sub_(1 - likely)
    return rounding.sub_(likely.log_())
