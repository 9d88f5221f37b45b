"""Blocks of GhostNet (arXiv 1911.11907): cheap depth-wise filters make half of the channels."""

from torch import Tensor, nn

from models.blocks.conv import Conv, DWConv
from models.blocks.csp import C3
from models.blocks.join import join

CHEAP_KERNEL = 5


class GhostConv(nn.Module):
    """Convolution to half of the channels; a depth-wise 5 x 5 makes the other half from them."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        activation: bool | nn.Module = True,
    ) -> None:
        super().__init__()
        half = out_channels // 2
        self.cv1 = Conv(in_channels, half, kernel, stride, groups=groups, activation=activation)
        self.cv2 = Conv(half, half, CHEAP_KERNEL, groups=half, activation=activation)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H / stride, W / stride)."""
        primary = self.cv1(features)
        return join(primary, self.cv2(primary))


class GhostBottleneck(nn.Module):
    """Two ghost convolutions beside a shortcut; at stride 2 with a depth-wise one between."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1
    ) -> None:
        super().__init__()
        hidden = out_channels // 2
        is_strided = stride == 2
        self.conv = nn.Sequential(
            GhostConv(in_channels, hidden),
            DWConv(hidden, hidden, kernel, stride, activation=False)
            if is_strided
            else nn.Identity(),
            GhostConv(hidden, out_channels, activation=False),
        )
        self.shortcut: nn.Module = nn.Identity()
        if is_strided:
            self.shortcut = nn.Sequential(
                DWConv(in_channels, in_channels, kernel, stride, activation=False),
                Conv(in_channels, out_channels, 1, activation=False),
            )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H / stride, W / stride)."""
        result: Tensor = self.conv(features) + self.shortcut(features)
        return result


class C3Ghost(C3):
    """C3 whose deep branch is a row of ghost bottlenecks, which always have a shortcut."""

    def deep_branch(self, channels: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        """Return `repeats` ghost bottlenecks of constant width."""
        return nn.Sequential(*(GhostBottleneck(channels, channels) for _ in range(repeats)))
