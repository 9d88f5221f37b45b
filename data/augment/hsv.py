"""Random hue, saturation and brightness, on 8-bit images."""

import cv2
import numpy as np
import numpy.typing as npt

from configs.schema.augment import AugmentSettings
from utils.structures.images import ImageArray

_LARGEST_HUE_GAIN = 255 / 179
"""Above it a product would not fit into 8 bits."""


def draw_gains(
    settings: AugmentSettings, rng: np.random.Generator
) -> tuple[float, float, float] | None:
    """Draw the factors of hue, saturation and value; None where all are switched off."""
    shares = (settings.hsv_hue, settings.hsv_saturation, settings.hsv_value)
    if not any(shares):
        return None
    hue, saturation, value = 1 + rng.uniform(-1, 1, 3) * shares
    return float(hue), float(saturation), float(value)


def change_colours(image: ImageArray, gains: tuple[float, float, float]) -> None:
    """Multiply hue (cyclic), saturation and value of `image` (H, W, 3) RGB, in place.

    OpenCV's 8-bit hue counts half degrees, 0 to 179; saturation and value stop at 255.
    """
    colours = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    if gains[0] <= _LARGEST_HUE_GAIN:
        # Five times faster than a table; the way back to RGB takes hues above 179 as cyclic.
        cv2.transform(colours, np.diag(gains), dst=colours)
    else:
        cv2.LUT(colours, _table(gains), dst=colours)
    cv2.cvtColor(colours, cv2.COLOR_HSV2RGB, dst=image)


def _table(gains: tuple[float, float, float]) -> npt.NDArray[np.uint8]:
    """Return the product (1, 256, 3) of every level."""
    products = np.rint(np.arange(256)[:, None] * gains)
    products[:, 0] %= 180
    table: npt.NDArray[np.uint8] = products.clip(0, 255).astype(np.uint8)
    return table[None]
