"""Random hue, saturation and brightness, on 8-bit images.

OpenCV's 8-bit hue counts half degrees, 0 to 179; saturation and value stop at 255. The device works
with the levels of OpenCV, so that its images are the workers' within a level or two.
"""

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from configs.schema.augment import AugmentSettings
from data.augment.operation import Parameters, PixelOp
from utils.structures.images import ImageArray

_LARGEST_HUE_GAIN = 255 / 179
"""Above it a product would not fit into 8 bits."""
_HUES = 180
"""Levels of hue, half degrees."""
_BITS = 12
"""Of the fractions in OpenCV's tables of divisions."""
_BAND_BYTES = 1 << 16
"""Pixels between the conversions that stay in a processor's nearest caches: a fifth less time than
by whole images."""
_CHANNELS = (5, 3, 1)
"""Sixths of the colour circle by which red, green and blue lag behind each other."""


class HueSaturationValue(PixelOp):
    """Multiplies hue (cyclic), saturation and value; parameters are the three factors."""

    name = "hsv"

    def sample(self, rng: np.random.Generator, settings: AugmentSettings) -> Parameters | None:
        """Return factors uniform around 1; None where all three are switched off."""
        shares = (settings.hsv_hue, settings.hsv_saturation, settings.hsv_value)
        if not any(shares):
            return None
        factors: list[float] = (1 + rng.uniform(-1, 1, 3) * shares).tolist()
        return tuple(factors)

    def apply_numpy(self, image: ImageArray, parameters: Parameters) -> ImageArray:
        """Return `image` (H, W, 3) RGB, changed in place."""
        # Five times faster than a table; the way back to RGB takes hues above 179 as cyclic.
        table = None if parameters[0] <= _LARGEST_HUE_GAIN else _table(parameters)
        factors = np.diag(parameters)
        num_rows = max(1, _BAND_BYTES // (3 * image.shape[1]))
        buffer = np.empty((num_rows, *image.shape[1:]), np.uint8)
        for top in range(0, len(image), num_rows):
            band = image[top : top + num_rows]
            colours = buffer[: len(band)]
            cv2.cvtColor(band, cv2.COLOR_RGB2HSV, dst=colours)
            if table is None:
                cv2.transform(colours, factors, dst=colours)
            else:
                cv2.LUT(colours, table, dst=colours)
            cv2.cvtColor(colours, cv2.COLOR_HSV2RGB, dst=band)
        return image

    def apply_torch(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return images (B, S, S, 3) RGB with the factors (B, 3) of each."""
        factors = parameters.T[:, :, None, None].unbind()
        levels = zip(to_hsv(images), factors, strict=True)
        hue, saturation, value = ((level * factor).round_() for level, factor in levels)
        return to_rgb(hue.remainder_(_HUES), saturation.clamp_(max=255), value.clamp_(max=255))


def _table(factors: Parameters) -> npt.NDArray[np.uint8]:
    """Return the product (1, 256, 3) of every level."""
    products = np.rint(np.arange(256)[:, None] * factors)
    products[:, 0] %= _HUES
    table: npt.NDArray[np.uint8] = products.clip(0, 255).astype(np.uint8)
    return table[None]


def to_hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return hue 0 to 179, saturation and value 0 to 255 of `images` (B, S, S, 3) RGB uint8.

    Each (B, S, S) int32, the very levels of OpenCV: it divides by tables of 12-bit fractions.
    """
    red, green, blue = images.movedim(-1, 0).to(torch.int32, memory_format=torch.contiguous_format)
    value = red.maximum(green).maximum(blue)
    span = value - red.minimum(green).minimum(blue)
    saturation = _scaled(span, _fractions(255, 1, images.device), value)
    turned = torch.where(value == green, blue - red + 2 * span, red - green + 4 * span)
    turned = torch.where(value == red, green - blue, turned)
    hue = _scaled(turned, _fractions(_HUES, 6, images.device), span)
    return torch.where(hue < 0, hue + _HUES, hue), saturation, value


def to_rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Return images (B, S, S, 3) RGB uint8 of what `to_hsv` returns, here as float32.

    OpenCV cuts the fraction of a level off, where rounding would be brighter by a third of one.
    """
    sixths, depth, height = hue * (6 / _HUES), saturation * (1 / 255), value * (1 / 255)
    channels = []
    for lag in _CHANNELS:
        angle = (sixths + lag).remainder_(6)
        fall = angle.minimum(4 - angle).clamp_(0, 1).mul_(depth)
        channels.append((height * (1 - fall) * 255).to(torch.uint8))
    return torch.stack(channels, dim=-1)


def _scaled(numbers: Tensor, fractions: Tensor, divisors: Tensor) -> Tensor:
    factors = fractions.index_select(0, divisors.flatten()).view_as(divisors)
    return (numbers * factors + (1 << (_BITS - 1))) >> _BITS


def _fractions(whole: int, parts: int, device: torch.device) -> Tensor:
    """Return whole / (parts * i) in units of 2^-12, rounded, for i from 0 to 255; 0 for i = 0."""
    divisors = torch.arange(256, device=device, dtype=torch.int32) * parts
    doubled = (2 * whole << _BITS) + divisors
    table = doubled.div(2 * divisors.clamp(min=1), rounding_mode="floor")
    return table.masked_fill(divisors == 0, 0)
