"""Mirror images and their boxes."""

from typing import cast

import cv2

from utils.structures.images import FloatArray, ImageArray

Flips = tuple[bool, bool]
"""Left to right, upside down."""

_CODES = {(True, False): 1, (False, True): 0, (True, True): -1}
"""OpenCV's names of the axes."""


def flip_boxes(boxes: FloatArray, image_size: int, flips: Flips) -> FloatArray:
    """Return boxes (N, 4) in the mirrored square image of `image_size` pixels."""
    flipped = boxes.copy()
    for axis, is_flipped in enumerate(flips):
        if is_flipped:
            flipped[:, [axis, axis + 2]] = image_size - boxes[:, [axis + 2, axis]]
    return flipped


def flip_image(image: ImageArray, flips: Flips) -> ImageArray:
    """Return `image` (H, W, 3) mirrored; itself without flips."""
    if flips not in _CODES:
        return image
    # A reversed numpy view made contiguous takes almost 50 times as long.
    return cast(ImageArray, cv2.flip(image, _CODES[flips]))
