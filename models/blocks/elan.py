"""Blocks that join the outputs of all their steps, with convolutions that become one at inference.

Sources: ELAN (arXiv 2211.04800); GELAN of YOLOv9 (arXiv 2402.13616); RepVGG (arXiv 2101.03697).
"""

from torch import Tensor, nn

from models.blocks.conv import Conv
from models.blocks.csp import C3, Bottleneck
from models.blocks.join import join


class RepConv(nn.Module):
    """A 3 x 3 and a 1 x 1 convolution side by side, each with its norm, added before SiLU.

    `models.inference.fusion` makes them one 3 x 3 convolution, of equal values.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.cv1 = Conv(in_channels, out_channels, 3, activation=False)
        self.cv2: Conv | None = Conv(in_channels, out_channels, 1, activation=False)
        self.act: nn.Module = nn.SiLU()

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H, W)."""
        total: Tensor = self.cv1(features)
        result: Tensor = self.act(total if self.cv2 is None else total + self.cv2(features))
        return result


class RepC3(C3):
    """C3 of bottlenecks with a `RepConv` and a 3 x 3 convolution."""

    def deep_branch(self, channels: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        """Return a row of bottlenecks, (B, channels, H, W) to the same shape."""
        return nn.Sequential(*(_RepBottleneck(channels, shortcut) for _ in range(repeats)))


class _RepBottleneck(Bottleneck):
    def __init__(self, channels: int, shortcut: bool) -> None:
        super().__init__(channels, channels, shortcut, expansion=1.0, kernels=(3, 3))
        self.cv1 = RepConv(channels, channels)


class ELAN(nn.Module):
    """A 1 x 1 convolution to two halves, two steps one after the other on the second, and a 1 x 1
    convolution that reads both halves and both steps.

    A step is a 3 x 3 convolution here; subclasses choose another in `step`.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        repeats: bottlenecks of a step, where it has any.
        width: channels of both halves together; None takes those of the output.
    """

    def __init__(
        self, in_channels: int, out_channels: int, repeats: int = 1, width: int | None = None
    ) -> None:
        super().__init__()
        half = (width or out_channels) // 2
        self.cv1 = Conv(in_channels, 2 * half, 1)
        self.m = nn.ModuleList(self.step(half, repeats) for _ in range(2))
        self.cv2 = Conv(4 * half, out_channels, 1)

    def step(self, channels: int, repeats: int) -> nn.Module:
        """Return the module that maps (B, channels, H, W) to the same shape."""
        return Conv(channels, channels, 3)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H, W)."""
        made = list(self.cv1(features).chunk(2, dim=1))
        for step in self.m:
            made.append(step(made[-1]))
        result: Tensor = self.cv2(join(*made))
        return result


class GELAN(ELAN):
    """`ELAN` whose steps are a `RepC3` and a 3 x 3 convolution."""

    def step(self, channels: int, repeats: int) -> nn.Module:
        """Return the module that maps (B, channels, H, W) to the same shape."""
        return nn.Sequential(RepC3(channels, channels, repeats), Conv(channels, channels, 3))
