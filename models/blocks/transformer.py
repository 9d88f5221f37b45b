"""Self-attention over the cells of a small feature map.

Legend: B images, C channels, H W height and width, S = H x W cells.
"""

from torch import Tensor, nn

from models.blocks.conv import Conv
from models.blocks.csp import C3

NUM_HEADS = 4


class TransformerLayer(nn.Module):
    """Attention and a linear perceptron, each with a shortcut.

    Without layer normalisation, unlike arXiv 2010.11929: the convolutions around it are normalised.
    """

    def __init__(self, channels: int, num_heads: int) -> None:
        super().__init__()
        self.q = nn.Linear(channels, channels, bias=False)
        self.k = nn.Linear(channels, channels, bias=False)
        self.v = nn.Linear(channels, channels, bias=False)
        self.ma = nn.MultiheadAttention(channels, num_heads)
        self.fc1 = nn.Linear(channels, channels, bias=False)
        self.fc2 = nn.Linear(channels, channels, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Map tokens (S, B, C) to (S, B, C)."""
        attended, _ = self.ma(self.q(tokens), self.k(tokens), self.v(tokens), need_weights=False)
        tokens = tokens + attended
        result: Tensor = self.fc2(self.fc1(tokens)) + tokens
        return result


class TransformerBlock(nn.Module):
    """Learned linear embedding of the cells, then a row of attention layers."""

    def __init__(
        self, in_channels: int, out_channels: int, num_heads: int, num_layers: int
    ) -> None:
        super().__init__()
        self.conv: nn.Module | None = None
        if in_channels != out_channels:
            self.conv = Conv(in_channels, out_channels)
        self.linear = nn.Linear(out_channels, out_channels)
        self.tr = nn.Sequential(
            *(TransformerLayer(out_channels, num_heads) for _ in range(num_layers))
        )

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, in, H, W) to (B, out, H, W)."""
        if self.conv is not None:
            features = self.conv(features)
        tokens = features.flatten(2).permute(2, 0, 1)
        attended: Tensor = self.tr(tokens + self.linear(tokens))
        return attended.permute(1, 2, 0).reshape(features.shape)


class C3TR(C3):
    """C3 whose deep branch is a transformer."""

    def deep_branch(self, channels: int, repeats: int, shortcut: bool, groups: int) -> nn.Module:
        """Return a transformer of `repeats` layers of constant width."""
        return TransformerBlock(channels, channels, NUM_HEADS, repeats)
