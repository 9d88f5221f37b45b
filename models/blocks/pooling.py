"""Spatial pyramid pooling: context of several sizes in every cell."""

from collections.abc import Sequence

from torch import Tensor, nn

from models.blocks.conv import Conv
from models.blocks.join import join


class SPP(nn.Module):
    """Maximum over windows of several sizes, side by side.

    Source: He et al., arXiv 1406.4729, with stride 1 so that the map keeps its size.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernels: Sequence[int] = (5, 9, 13)
    ) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.cv1 = Conv(in_channels, hidden, 1)
        self.cv2 = Conv(hidden * (len(kernels) + 1), out_channels, 1)
        self.m = nn.ModuleList(
            nn.MaxPool2d(kernel, stride=1, padding=kernel // 2) for kernel in kernels
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H, W)."""
        narrow = self.cv1(features)
        result: Tensor = self.cv2(join(narrow, *(pool(narrow) for pool in self.m)))
        return result


class SPPF(nn.Module):
    """SPP(k, 2k - 1, 3k - 2) as three small poolings in a row: the same values for less work."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 5) -> None:
        super().__init__()
        hidden = in_channels // 2
        self.cv1 = Conv(in_channels, hidden, 1)
        self.cv2 = Conv(hidden * 4, out_channels, 1)
        self.m = nn.MaxPool2d(kernel, stride=1, padding=kernel // 2)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H, W)."""
        pooled = [self.cv1(features)]
        for _ in range(3):
            pooled.append(self.m(pooled[-1]))
        result: Tensor = self.cv2(join(*pooled))
        return result
