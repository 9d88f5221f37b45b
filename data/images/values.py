"""Content of image files: bits used by 16-bit images, and completeness of a JPEG."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

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
