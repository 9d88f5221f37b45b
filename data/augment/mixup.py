"""Mixup: blend two images into one with the labels of both.

Source: Zhang et al., mixup (arXiv 1710.09412), without weighting labels by the share.
"""

from typing import cast

import cv2
import numpy as np

from utils.structures.images import ImageArray

BETA = 32.0
"""Both parameters of the Beta distribution of the share: about 0.5 +- 0.06."""


def draw_share(rng: np.random.Generator) -> float:
    """Sample the share of the first image in a blend, 0 to 1."""
    return float(rng.beta(BETA, BETA))


def blend(first: ImageArray, second: ImageArray, share: float) -> ImageArray:
    """Return `share` of `first` (H, W, 3) and the rest of `second`, of the same shape."""
    return cast(ImageArray, cv2.addWeighted(first, share, second, 1 - share, 0))
