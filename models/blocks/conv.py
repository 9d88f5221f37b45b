"""Convolutions with batch normalisation, and the join of branches.

Legend: B images, C channels, H W height and width of a feature map.
"""

import math

import torch
from torch import Tensor, nn

from models.blocks.join import join
from models.blocks.norm_silu import can_save_memory, norm_silu

BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.03


def batch_norm(channels: int) -> nn.BatchNorm2d:
    """Return batch normalisation with the constants all published weights were trained with."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM)


class Conv(nn.Module):
    """Convolution without bias, batch normalisation, activation (SiLU).

    `activation` is true for SiLU, false for none, or a module. Padding defaults to the one that
    keeps the size at stride 1. (B, in, H, W) -> (B, out, H / stride, W / stride).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        dilation: int = 1,
        activation: bool | nn.Module = True,
    ) -> None:
        super().__init__()
        if padding is None:
            padding = (dilation * (kernel - 1) + 1) // 2
        self.conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride,
            padding,
            dilation=dilation,
            groups=groups,
            bias=False,
        )
        self.bn: nn.Module = batch_norm(out_channels)
        self.act: nn.Module = _activation(activation)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H', W')."""
        values: Tensor = self.conv(features)
        if can_save_memory(self.bn, self.act, values):
            return norm_silu(self.bn, values)
        result: Tensor = self.act(self.bn(values))
        return result


def _activation(choice: bool | nn.Module) -> nn.Module:
    if isinstance(choice, nn.Module):
        return choice
    return nn.SiLU() if choice else nn.Identity()


class Add(nn.Module):
    """Adds feature maps of equal shape, as in a feature pyramid."""

    def forward(self, first: Tensor, *others: Tensor) -> Tensor:
        """Add maps (B, C, H, W) to one (B, C, H, W)."""
        for other in others:
            if other.shape != first.shape:
                raise ValueError(f"{tuple(first.shape)} and {tuple(other.shape)} cannot be added")
            first = first + other
        return first


class DWConv(Conv):
    """Depth-wise `Conv`: as many groups as both channel counts allow."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        dilation: int = 1,
        activation: bool | nn.Module = True,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel,
            stride,
            groups=math.gcd(in_channels, out_channels),
            dilation=dilation,
            activation=activation,
        )


class SeparableConv(nn.Module):
    """A depth-wise convolution, then one of 1 x 1, each with norm and activation.

    Source: Howard et al. 2017, arXiv 1704.04861; modules are named as in YOLOX's weights.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1
    ) -> None:
        super().__init__()
        self.dconv = DWConv(in_channels, in_channels, kernel, stride)
        self.pconv = Conv(in_channels, out_channels, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H / stride, W / stride)."""
        result: Tensor = self.pconv(self.dconv(features))
        return result


class Focus(nn.Module):
    """Moves each 2 x 2 patch of pixels into channels, then `Conv`: the stem before version 6."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        padding: int | None = None,
        groups: int = 1,
        activation: bool | nn.Module = True,
    ) -> None:
        super().__init__()
        self.conv = Conv(
            4 * in_channels,
            out_channels,
            kernel,
            stride,
            padding,
            groups,
            activation=activation,
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W), H and W even, to (B, out, H / 2, W / 2)."""
        corners = [features[..., row::2, column::2] for column in (0, 1) for row in (0, 1)]
        result: Tensor = self.conv(torch.cat(corners, dim=1))
        return result


class AvgConv(nn.Module):
    """Mean of 2 x 2 neighbours, one cell apart, then a `Conv` of stride 2: halves the map without
    the aliasing of a stride alone.

    Source: YOLOv9 (arXiv 2402.13616).
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 2
    ) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(2, stride=1)
        self.conv = Conv(in_channels, out_channels, kernel, stride)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W), H and W even, to (B, out, H / 2, W / 2)."""
        result: Tensor = self.conv(self.pool(features))
        return result


class AvgMaxConv(nn.Module):
    """`AvgConv` whose second half of channels takes the largest of 3 x 3 means instead of a 3 x 3
    convolution: halves the map for less than half the work.

    Source: YOLOv9 (arXiv 2402.13616).
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.mean = nn.AvgPool2d(2, stride=1)
        self.largest = nn.MaxPool2d(3, stride=2, padding=1)
        self.cv1 = Conv(in_channels // 2, out_channels // 2, 3, 2)
        self.cv2 = Conv(in_channels // 2, out_channels // 2, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W), in, H and W even, to (B, out, H / 2, W / 2)."""
        first, second = self.mean(features).chunk(2, dim=1)
        return join(self.cv1(first), self.cv2(self.largest(second)))


class Concat(nn.Module):
    """Joins feature maps along one dimension, by default the channels."""

    def __init__(self, dimension: int = 1) -> None:
        super().__init__()
        self.dimension = dimension

    def forward(self, *features: Tensor) -> Tensor:
        """Join maps (B, C_i, H, W) to (B, sum of C_i, H, W)."""
        return join(*features) if self.dimension == 1 else torch.cat(features, self.dimension)
