"""A tower of convolutions whose weights all levels share, and whose statistics none do.

Legend: B images, H W cells of a level.
"""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from models.blocks.conv import batch_norm


class SharedTower(nn.Module):
    """A row of 3 x 3 convolutions, (B, in, H, W) to (B, width, H, W) of any level.

    Args:
        channels: channels of each level's feature map, all equal.
        width: channels of the tower.
        depth: convolutions.
        activation: after each of them.
        has_norm: batch normalisation after each, of its own for every level: levels differ in
            scale, and the statistics of their mixture would fit none of them.
    """

    def __init__(
        self,
        channels: Sequence[int],
        width: int,
        depth: int,
        *,
        activation: nn.Module,
        has_norm: bool = True,
    ) -> None:
        super().__init__()
        inputs = (channels[0], *[width] * (depth - 1))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(source, width, 3, padding=1, bias=not has_norm) for source in inputs
        )
        self.norms = nn.ModuleList(
            nn.ModuleList(batch_norm(width) if has_norm else nn.Identity() for _ in inputs)
            for _ in channels
        )
        self.act = activation

    def forward(self, features: Tensor, level: int) -> Tensor:
        """Map features (B, in, H, W) of level number `level` to (B, width, H, W)."""
        norms = cast(nn.ModuleList, self.norms[level])
        for convolution, norm in zip(self.convolutions, norms, strict=True):
            features = self.act(norm(convolution(features)))
        return features
