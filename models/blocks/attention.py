"""Channel attention: a factor for every channel from the mean of all channels."""

from torch import Tensor, nn


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
