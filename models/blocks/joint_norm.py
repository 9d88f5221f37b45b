"""Batch normalisation over the images of all processes of a training run."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.distributed import num_ranks


class JointBatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` whose batch is that of all processes; in evaluation there is no difference.

    Peng et al. 2018 (arXiv:1711.07240), section 3.3. Moments are added up in float64, so that N
    processes of b images normalise as one of N * b does. Unlike torch's SyncBatchNorm it also works
    on a CPU, with gloo; on CUDA it is slower than that one's fused kernels.
    """

    def forward(self, features: Tensor) -> Tensor:
        """Return normalised features (B, C, H, W); B may differ between processes, 0 too."""
        if not self.training or num_ranks() == 1:
            return super().forward(features)
        mean, variance, count = self._moments(features)
        self._keep(mean, variance, count)
        scale = (variance + self.eps).rsqrt() * self.weight
        shape = (1, -1, 1, 1)
        normal = (features.float() - mean.view(shape)) * scale.view(shape) + self.bias.view(shape)
        return normal.to(features.dtype)

    def _moments(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return mean and variance over all processes and the number of values, (C,) float32."""
        own = features.numel() // features.shape[1]
        if own:
            variance, mean = torch.var_mean(features.float(), dim=(0, 2, 3), correction=0)
        else:
            variance = mean = features.float().sum(dim=(0, 2, 3))
        variance, mean = variance.double(), mean.double()
        squares = variance + mean.square()
        sums = torch.stack([mean * own, squares * own, torch.full_like(mean, own)])
        first, second, count = _sum_over_ranks(sums).unbind()
        mean = first / count
        variance = (second / count - mean.square()).clamp(min=0)
        return mean.float(), variance.float(), count.detach().float()

    @torch.no_grad()
    def _keep(self, mean: Tensor, variance: Tensor, count: Tensor) -> None:
        """Move the running statistics, by the unbiased variance as torch does."""
        if self.running_mean is None or self.running_var is None:
            return
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = 0.1 if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * (count / (count - 1).clamp(min=1)), momentum)


def join_norms(model: nn.Module) -> int:
    """Make every `nn.BatchNorm2d` in `model` a joint one, in place; return how many there were.

    Parameters and statistics are the same tensors as before.
    """
    count = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, _joint(child))
                count += 1
    return count


def _joint(norm: nn.BatchNorm2d) -> JointBatchNorm2d:
    joint = JointBatchNorm2d(norm.num_features, eps=norm.eps, momentum=norm.momentum or 0.1)
    joint.weight, joint.bias = norm.weight, norm.bias
    joint.running_mean, joint.running_var = norm.running_mean, norm.running_var
    joint.num_batches_tracked = norm.num_batches_tracked
    return joint.train(norm.training)


def _sum_over_ranks(values: Tensor) -> Tensor:
    total: Tensor = _SumOverRanks.apply(values)
    return total


class _SumOverRanks(torch.autograd.Function):
    """The sum over all processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.contiguous().clone()
        dist.all_reduce(total)
        return total
