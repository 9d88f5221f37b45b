"""SGD in memory order: fused steps on a CPU without copies of channels-last gradients.

torch's fused kernel first copies channels-last gradients into another order, which takes longer
than the step. An update by element is the same in any order that its tensors share.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD
from torch.optim.sgd import sgd


class StorageOrderSgd(SGD):
    """`torch.optim.SGD(fused=True)` with the same state and bit by bit the same steps.

    A tensor of 1 as `found_inf`, which torch's gradient scaler sets, makes it skip a step.

    A momentum that is not there yet counts as 0.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._views: dict[Tensor, _Views] = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """Take a step with the present gradients; `closure` is not supported."""
        if closure is not None:
            raise ValueError("this optimizer takes no closure")
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            views = [self._views_of(p, has_momentum=group["momentum"] > 0) for p in parameters]
            sgd(
                [view.parameter for view in views],
                [_in_memory_order(p.grad, p) for p in parameters],
                [view.momentum for view in views],
                fused=True,
                found_inf=getattr(self, "found_inf", None),
                weight_decay=group["weight_decay"],
                momentum=group["momentum"],
                lr=group["lr"],
                dampening=group["dampening"],
                nesterov=group["nesterov"],
                maximize=group["maximize"],
            )

    def _views_of(self, parameter: Tensor, *, has_momentum: bool) -> "_Views":
        """Return the views of a parameter and its momentum; cached, as creating them is slow."""
        buffer = self.state[parameter].get("momentum_buffer") if has_momentum else None
        known = self._views.get(parameter)
        is_new = has_momentum and buffer is None
        if known is None or is_new or not known.is_of(parameter, buffer):
            if has_momentum:
                buffer = self._align_momentum(parameter)
            known = _Views(
                address=parameter.data_ptr(),
                buffer=buffer,
                parameter=_in_memory_order(parameter, parameter),
                momentum=None if buffer is None else _in_memory_order(buffer, parameter),
            )
            self._views[parameter] = known
        return known

    def _align_momentum(self, parameter: Tensor) -> Tensor:
        """Return the momentum, 0 if there is none yet, in the memory order of the parameter."""
        state = self.state[parameter]
        aligned = torch.zeros_like(parameter)
        if state.get("momentum_buffer") is not None:
            aligned.copy_(state["momentum_buffer"])
        state["momentum_buffer"] = aligned
        return aligned


@dataclass(frozen=True, slots=True, kw_only=True)
class _Views:
    """parameter and momentum (N,) in memory order, and of which tensors they are."""

    address: int
    buffer: Tensor | None
    parameter: Tensor
    momentum: Tensor | None

    def is_of(self, parameter: Tensor, buffer: Tensor | None) -> bool:
        """Tell whether they are still views of these."""
        return self.address == parameter.data_ptr() and self.buffer is buffer


def _in_memory_order(tensor: Tensor, like: Tensor) -> Tensor:
    """Return the elements (N,) in the memory order of `like`.

    A view where `tensor` has that order too, else a copy; as it is where `like` has gaps.
    """
    if like.is_contiguous():
        return tensor.reshape(-1)
    if like.ndim == 4 and like.is_contiguous(memory_format=torch.channels_last):
        return tensor.permute(0, 2, 3, 1).reshape(-1)
    return tensor
