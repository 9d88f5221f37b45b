"""Content of image files: bits used by 16-bit images, and completeness of a JPEG."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

JPEG_START = b"\xff\xd8"
_JPEG_END = b"\xff\xd9"
_PROGRESSIVE_FRAME = b"\xff\xc2"
_TAILS = (b"\x00" * 64, b"\x55" * 64)


def used_bits(values: npt.NDArray[Any]) -> int:
    """Return how many bits of 16 an image uses: 8, 10, 12, 14 or 16, as sensors have.

    Files of microscopes and thermal cameras leave the upper bits empty; taken at full scale, they
    would be black.
    """
    highest = int(values.max(initial=0))
    return next(bits for bits in (8, 10, 12, 14, 16) if highest < 1 << bits)


def to_8_bits(values: npt.NDArray[Any], depth: int | None) -> npt.NDArray[np.uint8]:
    """Return 16-bit values as 8 bits: the upper 8 of `depth`, of those in use where None.

    What is brighter than `depth` bits can say is white.
    """
    bits = used_bits(values) if depth is None else depth
    scaled: npt.NDArray[np.uint8] = (np.minimum(values, (1 << bits) - 1) >> (bits - 8)).astype(
        np.uint8
    )
    return scaled


def is_deep(image: Image.Image) -> bool:
    """Tell whether an image that Pillow has opened, and not yet read, has 16 bits a value.

    Grey keeps them; of colour Pillow takes the upper 8 bits whatever they hold.
    """
    tiles: Sequence[Any] = getattr(image, "tile", ())
    is_deep_colour = bool(tiles) and any(";16" in str(part) for part in tiles[0][3:])
    return image.mode.startswith("I;16") or is_deep_colour


def read_deep(data: bytes, depth: int | None) -> npt.NDArray[np.uint8] | None:
    """Return the pixels (H, W, 3) uint8 RGB of a file with 16 bits a value, as it stores them.

    Transparent pixels are laid over white. None where OpenCV does not read the file so.
    """
    flags = cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        values = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    if values is None or values.dtype != np.uint16:
        return None
    if values.ndim == 2:
        return np.repeat(to_8_bits(values, depth)[:, :, None], 3, axis=2)
    colour = to_8_bits(values[:, :, :3], depth)[:, :, ::-1]
    if values.shape[2] == 4:
        alpha = values[:, :, 3:].astype(np.float64) / 65535
        colour = np.rint(colour * alpha + 255 * (1 - alpha)).astype(np.uint8)
    return np.ascontiguousarray(colour)


def with_end_marker(data: bytes) -> bytes | None:
    """Return a JPEG with the end marker that it lacks; None where more than that is missing.

    A decoder that still needs bytes reads the appended ones, so that the pixels differ. A
    progressive file never counts as complete: each of its scans covers the image.
    """
    if not data.startswith(JPEG_START) or data.endswith(_JPEG_END) or _PROGRESSIVE_FRAME in data:
        return None
    first, second = (
        cv2.imdecode(np.frombuffer(data + tail + _JPEG_END, np.uint8), cv2.IMREAD_COLOR)
        for tail in _TAILS
    )
    if first is None or second is None or not np.array_equal(first, second):
        return None
    return data + _JPEG_END
