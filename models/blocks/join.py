"""Maps joined and split along their channels, with dense rows where gaps between them cost time.

In channels-last order some of the channels of a map are short rows with gaps between. torch's
elementwise operations on a CPU run along such a row in steps of two vector registers, and take what
is left one value at a time: the derivative of SiLU on 16 of 32 channels in bf16 takes six times as
long as on a dense map, a sum nine times. A dense copy costs a ninth of such a sum.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

STEP_BYTES = 128
"""Two registers of AVX-512, four of AVX2: of rows of a multiple, nothing is left."""


def is_recorded() -> bool:
    """Return whether a compiler or an export records the operations instead of a step taking them:
    they are left in their plain form, which is what optimizers know.
    """
    return torch.compiler.is_compiling() or torch.jit.is_tracing()  # type: ignore[attr-defined]


class _Join(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *maps: Tensor) -> Tensor:
        ctx.widths = [each.shape[1] for each in maps]
        return torch.cat(maps, dim=1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, ...]:
        return tuple(dense_rows(part) for part in gradient.split(ctx.widths, dim=1))


def join(*maps: Tensor) -> Tensor:
    """Return maps (B, C_i, H, W) joined to (B, sum of C_i, H, W), as `torch.cat` joins them.

    In a training step on a CPU the gradient of each is dense.
    """
    first = maps[0]
    is_step = first.device.type == "cpu" and first.requires_grad and torch.is_grad_enabled()
    if not is_step or is_recorded():
        return torch.cat(maps, dim=1)
    joined: Tensor = _Join.apply(*maps)
    return joined


def dense_rows(features: Tensor) -> Tensor:
    """Return a map (B, C, H, W), copied if it is slow: on a CPU, in channels-last order, with gaps
    between rows that do not fill whole registers.
    """
    channels = features.shape[1]
    is_whole = channels * features.element_size() % STEP_BYTES == 0
    has_gaps = features.stride(1) == 1 and features.stride(3) != channels
    if is_whole or not has_gaps or features.device.type != "cpu" or is_recorded():
        return features
    return features.contiguous(memory_format=torch.channels_last)
