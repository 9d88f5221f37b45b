"""Stem and stages of a ResNet, made of torchvision's residual blocks.

torchvision is imported by the stages, because it takes longer than all that other graphs need.

Sources: He et al. 2015, arXiv 1512.03385; stride in the 3 x 3 convolution, as torchvision has it.
Names inside the modules are torchvision's, so its weights fit after renaming
(`models/weights/checkpoint.py`).
"""

from typing import Literal

from torch import Tensor, nn


class ResNetStem(nn.Module):
    """7 x 7 convolution and 3 x 3 maximum, stride 2 each, (B, in, H, W) to (B, out, H/4, W/4)."""

    def __init__(self, in_channels: int, out_channels: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, in, H, W) to features (B, out, H / 4, W / 4)."""
        features: Tensor = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        return features


class BasicStage(nn.Sequential):
    """Blocks of two 3 x 3 convolutions, as in ResNet-18 and 34; the first one has the stride.

    (B, in, H, W) to (B, out, H / stride, W / stride).
    """

    block: Literal["BasicBlock", "Bottleneck"] = "BasicBlock"
    """Name of the residual block in torchvision."""

    def __init__(
        self, in_channels: int, out_channels: int, repeats: int = 1, stride: int = 1
    ) -> None:
        from torchvision.models import resnet

        block = getattr(resnet, self.block)
        width = out_channels // block.expansion
        if width * block.expansion != out_channels:
            raise ValueError(
                f"channels must be a multiple of {block.expansion}, got {out_channels}"
            )
        fits = stride == 1 and in_channels == out_channels
        shortcut = None if fits else _shortcut(in_channels, out_channels, stride)
        first = block(in_channels, width, stride, shortcut)
        super().__init__(first, *(block(out_channels, width) for _ in range(repeats - 1)))


class BottleneckStage(BasicStage):
    """Blocks of 1 x 1, 3 x 3, 1 x 1 convolutions, as in ResNet-50, 101 and 152."""

    block = "Bottleneck"


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    convolution = nn.Conv2d(in_channels, out_channels, 1, stride=stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))
