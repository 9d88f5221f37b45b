"""Norms that were folded into convolutions, measured again so that they can be trained.

Legend: B images, C channels, H W cells.
"""

from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from models.blocks.conv import Conv
from models.detector import Detector


class _Moments:
    """Mean and variance of all outputs of a convolution that it is a hook of."""

    def __init__(self) -> None:
        self.count = 0
        self.total: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0

    def __call__(self, module: nn.Module, inputs: Any, output: Tensor) -> None:
        """Take an output (B, C, H, W) into account."""
        values = output.double()
        self.count += values.numel() // values.shape[1]
        self.total = self.total + values.sum(dim=(0, 2, 3))
        self.squares = self.squares + values.square().sum(dim=(0, 2, 3))

    def __iter__(self) -> Any:
        mean = cast(Tensor, self.total) / self.count
        variance = cast(Tensor, self.squares) / self.count - mean.square()
        return iter((mean, variance.clamp(min=0)))


@torch.no_grad()
def unfold_norms(detector: Detector, batches: Iterable[Tensor]) -> int:
    """Give every norm of a `Conv` the statistics that it meets, in place; return how many images.

    Where batch normalisation was folded into the convolution, what is left maps z to a z + b with
    mean 0 and variance 1: the first training step would normalise by its own batch and change the
    function. With mean m and variance v of z, running_mean m, running_var v, weight
    a sqrt(v + eps) and bias b + a m are the same function in evaluation, and nearly so in training.

    Args:
        detector: its mode is kept.
        batches: images (B, 3, H, W) in [0, 1]; at least one.
    """
    blocks = [module for module in detector.modules() if isinstance(module, Conv)]
    moments = [_Moments() for _ in blocks]
    hooks = [
        block.conv.register_forward_hook(moment)
        for block, moment in zip(blocks, moments, strict=True)
    ]
    was_training, images = detector.training, 0
    detector.eval()
    try:
        for batch in batches:
            detector(batch)
            images += len(batch)
    finally:
        detector.train(was_training)
        for hook in hooks:
            hook.remove()
    for block, moment in zip(blocks, moments, strict=True):
        if images and isinstance(block.bn, nn.BatchNorm2d):
            set_statistics(block.bn, *moment)
    return images


def set_statistics(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor) -> None:
    """Set running statistics (C,) of a norm and change its weight and bias (C,) in return."""
    old_mean, old_variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
    slope = norm.weight.double() / (old_variance.double() + norm.eps).sqrt()
    shift = norm.bias.double() - old_mean.double() * slope
    norm.weight.copy_(slope * (variance + norm.eps).sqrt())
    norm.bias.copy_(shift + slope * mean)
    old_mean.copy_(mean)
    old_variance.copy_(variance)
