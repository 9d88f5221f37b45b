"""Batch normalisation and SiLU of a training step, for two thirds of the memory.

torch keeps the input of each of the two for the way back. One of them follows from the other: the
normalised values are two operations away from the values before, so they are computed again.
Source of the idea: In-Place Activated BatchNorm (arXiv 1712.02616); our deviation: nothing is
inverted, so any activation would do.
"""

from typing import Any, TypeGuard

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

aten = torch.ops.aten


class _NormSilu(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor,
        bias: Tensor,
        running: tuple[Tensor, Tensor],
        momentum: float,
        eps: float,
    ) -> Tensor:
        normal, mean, inverse_sd = torch.native_batch_norm(
            values, weight, bias, *running, True, momentum, eps
        )
        ctx.save_for_backward(values, weight, bias, mean, inverse_sd)
        ctx.eps = eps
        activated: Tensor = aten.silu_(normal)
        return activated

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, weight, bias, mean, inverse_sd = ctx.saved_tensors
        slope = weight * inverse_sd
        # In float64 the shift is rounded once, as a fused multiply-add rounds it in torch's norm.
        shift = (bias.double() - mean.double() * slope.double()).to(bias)
        # A norm with mean 0 and variance 1 is the linear map that the training norm was.
        none, one = torch.zeros_like(mean), torch.ones_like(mean)
        normal = torch.native_batch_norm(values, slope, shift, none, one, False, 0.0, 0.0)[0]
        aten.silu_backward.grad_input(gradient, normal, grad_input=normal)
        gradients = aten.native_batch_norm_backward(
            normal,
            values,
            weight,
            None,
            None,
            mean,
            inverse_sd,
            True,
            ctx.eps,
            list(ctx.needs_input_grad[:3]),
        )
        return (*gradients, None, None, None)


def can_save_memory(
    norm: nn.Module, activation: nn.Module, values: Tensor
) -> TypeGuard[nn.BatchNorm2d]:
    """Tell whether `norm_silu` gives what calling `norm`, then `activation` would on (B, C, H, W).

    True in a training step on a CPU, for plain modules without hooks.
    """
    return (
        type(norm) is nn.BatchNorm2d
        and type(activation) is nn.SiLU
        and norm.training
        and norm.affine
        and norm.track_running_stats
        and norm.momentum is not None
        and torch.is_grad_enabled()
        and values.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not any(each._forward_hooks or each._forward_pre_hooks for each in (norm, activation))
    )


def norm_silu(norm: nn.BatchNorm2d, values: Tensor) -> Tensor:
    """Return SiLU of the normalised `values` (B, C, H, W), in their shape and type.

    Updates the running statistics of `norm` as calling it does.
    """
    if norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
    running = (norm.running_mean, norm.running_var)
    result: Tensor = _NormSilu.apply(
        values, norm.weight, norm.bias, running, norm.momentum, norm.eps
    )
    return result
