"""Optimizer steps with gradients that are NaN or infinite: refused, where possible without waiting.

To ask a GPU for a number is to wait until all work before is done. So the GPU refuses by itself
every step from the first bad one on, and is asked now and then whether it did.
"""

import math

import torch
from torch import Tensor

from utils.engine.loss_log import READ_EVERY, NotFiniteError

PROBLEM = "gradient is not finite"


class FiniteSteps:
    """Lets `optimizer` step only as long as all gradients were finite."""

    def __init__(self, optimizer: torch.optim.Optimizer, *, batches_per_epoch: int) -> None:
        self._optimizer = optimizer
        self._batches_per_epoch = batches_per_epoch
        self._unread: list[tuple[int, Tensor]] = []
        self.refused = 0
        """Steps that the last `read` found refused."""

    def admit(self, norm: Tensor, iteration: int, *, at_once: bool) -> None:
        """Judge the gradient norm () of the step that comes next.

        With `at_once`, or where the optimizer cannot refuse on its device, this waits for it.

        Raises:
            NotFiniteError: the gradient is bad, or without `at_once` that of a step before.
        """
        if at_once or not getattr(self._optimizer, "_step_supports_amp_scaling", False):
            if not math.isfinite(float(norm)):
                raise NotFiniteError(PROBLEM)
            return
        is_bad = (~torch.isfinite(norm)).float()
        if self._unread:
            is_bad = torch.maximum(is_bad, self._unread[-1][1])
        self._unread.append((iteration, is_bad))
        # What torch's gradient scaler tells a fused optimizer: skip this step if it is 1.
        self._optimizer.grad_scale = None  # type: ignore[attr-defined]
        self._optimizer.found_inf = is_bad  # type: ignore[attr-defined]

    @property
    def is_due(self) -> bool:
        """Tell whether `read` has waited long enough."""
        return len(self._unread) >= READ_EVERY

    def read(self) -> None:
        """Ask about all steps since the last time; waits for the device if there were any.

        Raises:
            NotFiniteError: names the batch of the first one refused; weights are as before it.
        """
        if not self._unread:
            return
        flags = torch.stack([flag for _, flag in self._unread]).tolist()
        iterations = [iteration for iteration, _ in self._unread]
        self._unread.clear()
        self.refused = sum(flag > 0 for flag in flags)
        if self.refused:
            first = iterations[len(flags) - self.refused]
            raise NotFiniteError(PROBLEM, first % self._batches_per_epoch)
