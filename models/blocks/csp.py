"""Residual bottlenecks and the cross-stage-partial blocks made of them.

Source: CSPNet (arXiv 1911.11929); C3 is its form with three convolutions.
"""

from torch import Tensor, nn

from models.blocks.conv import Conv, SeparableConv, batch_norm
from models.blocks.join import dense_rows, join
from models.blocks.pooling import SPP, SPPF


class ChannelAttention(nn.Module):
    """Hard sigmoid of one linear map of the channels' means, times the features.

    Source: effective squeeze and excitation of Lee and Park 2020, arXiv 1911.06667.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc = nn.Conv2d(channels, channels, 1)
        self.gate = nn.Hardsigmoid()

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, C, H, W) to the same shape."""
        factors: Tensor = self.gate(self.fc(features.mean(dim=(2, 3), keepdim=True)))
        return features * factors


class Bottleneck(nn.Module):
    """1 x 1 then 3 x 3 convolution; adds its input if `shortcut` is set and channels agree.

    `kernels` gives other sizes; with `separable` the second is depth-wise and 1 x 1.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
        kernels: tuple[int, int] = (1, 3),
        separable: bool = False,
    ) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        self.cv1: nn.Module = Conv(in_channels, hidden, kernels[0])
        self.cv2: nn.Module
        if separable:
            self.cv2 = SeparableConv(hidden, out_channels, kernels[1])
        else:
            self.cv2 = Conv(hidden, out_channels, kernels[1], groups=groups)
        self.has_shortcut = shortcut and in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H, W)."""
        result: Tensor = self.cv2(self.cv1(features))
        return features + result if self.has_shortcut else result


class BottleneckCSP(nn.Module):
    """CSP block with plain convolutions on both branches and one normalisation after their join."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        repeats: int = 1,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        self.cv1 = Conv(in_channels, hidden, 1)
        self.cv2 = nn.Conv2d(in_channels, hidden, 1, bias=False)
        self.cv3 = nn.Conv2d(hidden, hidden, 1, bias=False)
        self.cv4 = Conv(2 * hidden, out_channels, 1)
        self.bn = batch_norm(2 * hidden)
        self.act: nn.Module = nn.SiLU()
        self.m = bottlenecks(hidden, repeats, shortcut, groups)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H, W)."""
        branches = self.cv3(self.m(self.cv1(features))), self.cv2(features)
        result: Tensor = self.cv4(self.act(self.bn(join(*branches))))
        return result


class C3(nn.Module):
    """CSP block with three convolutions: a deep branch and a short one, joined by a third.

    Subclasses choose another deep branch in `deep_branch`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        repeats: int = 1,
        shortcut: bool = True,
        groups: int = 1,
        expansion: float = 0.5,
    ) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        self.cv1 = Conv(in_channels, hidden, 1)
        self.cv2 = Conv(in_channels, hidden, 1)
        self.cv3 = Conv(2 * hidden, out_channels, 1)
        self.m = self.deep_branch(hidden, repeats, shortcut, groups)

    def deep_branch(self, channels: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        """Return the module that maps (B, channels, H, W) to the same shape."""
        return bottlenecks(channels, repeats, shortcut, groups)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H, W)."""
        branches = self.m(self.cv1(features)), self.cv2(features)
        result: Tensor = self.cv3(join(*branches))
        return result


class C3DW(C3):
    """C3 whose 3 x 3 convolutions are depth-wise and 1 x 1, as in the smallest YOLOX."""

    def deep_branch(self, channels: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        """Return a row of bottlenecks, (B, channels, H, W) to the same shape."""
        return bottlenecks(channels, repeats, shortcut, groups, separable=True)


class CSPNeXt(C3):
    """C3 of bottlenecks with a 3 x 3 and a separable 5 x 5 convolution, and with `attention` a
    `ChannelAttention` before the last convolution.

    Source: RTMDet (arXiv 2212.07784).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        repeats: int = 1,
        shortcut: bool = True,
        attention: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, repeats, shortcut)
        joined = 2 * int(out_channels * 0.5)
        self.attention = ChannelAttention(joined) if attention else nn.Identity()

    def deep_branch(self, channels: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        """Return a row of bottlenecks, (B, channels, H, W) to the same shape."""
        return bottlenecks(channels, repeats, shortcut, groups, kernels=(3, 5), separable=True)

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H, W)."""
        branches = self.m(self.cv1(features)), self.cv2(features)
        result: Tensor = self.cv3(self.attention(join(*branches)))
        return result


class C3SPP(C3):
    """C3 whose deep branch is spatial pyramid pooling with the given kernels."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernels: tuple[int, ...] = (5, 9, 13),
        expansion: float = 0.5,
    ) -> None:
        super().__init__(in_channels, out_channels, repeats=0, expansion=expansion)
        hidden = int(out_channels * expansion)
        self.m = SPP(hidden, hidden, kernels)


class C3SPPF(C3):
    """C3 whose deep branch is `SPPF`: pooling in one branch only (Li et al., arXiv 2301.05586)."""

    def __init__(
        self, in_channels: int, out_channels: int, kernel: int = 5, expansion: float = 0.5
    ) -> None:
        super().__init__(in_channels, out_channels, repeats=0, expansion=expansion)
        hidden = int(out_channels * expansion)
        self.m = SPPF(hidden, hidden, kernel)


class SplitConcat(nn.Module):
    """CSP block that joins the outputs of all its steps, not only of the last one.

    A 1 x 1 convolution to two halves; each of `repeats` steps of two 3 x 3 convolutions reads what
    the last one made; a 1 x 1 convolution reads both halves and all steps. So gradients have short
    ways to every step, for few channels.

    Sources: CSPNet (arXiv 1911.11929), ELAN (arXiv 2211.04800).

    Args:
        in_channels: of the input.
        out_channels: of the output.
        repeats: steps.
        shortcut: each step adds its input.
        expansion: channels of a half over those of the output.
        attention: `ChannelAttention` before the last convolution.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        repeats: int = 1,
        shortcut: bool = True,
        expansion: float = 0.5,
        attention: bool = False,
    ) -> None:
        super().__init__()
        hidden = int(out_channels * expansion)
        joined = (2 + repeats) * hidden
        self.cv1 = Conv(in_channels, 2 * hidden, 1)
        self.m = nn.ModuleList(
            nn.Sequential(Conv(hidden, hidden, 3), Conv(hidden, hidden, 3)) for _ in range(repeats)
        )
        self.attention = ChannelAttention(joined) if attention else nn.Identity()
        self.cv2 = Conv(joined, out_channels, 1)
        self.has_shortcut = shortcut

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H, W)."""
        first, second = self.cv1(features).chunk(2, dim=1)
        made = [first, dense_rows(second)]
        for step in self.m:
            made.append(made[-1] + step(made[-1]) if self.has_shortcut else step(made[-1]))
        result: Tensor = self.cv2(self.attention(join(*made)))
        return result


def bottlenecks(
    channels: int,
    repeats: int,
    shortcut: bool,
    groups: int,
    kernels: tuple[int, int] = (1, 3),
    separable: bool = False,
) -> nn.Sequential:
    """Return a row of bottlenecks of constant width, (B, channels, H, W) to the same shape."""
    blocks = (
        Bottleneck(channels, channels, shortcut, groups, 1.0, kernels, separable)
        for _ in range(repeats)
    )
    return nn.Sequential(*blocks)
