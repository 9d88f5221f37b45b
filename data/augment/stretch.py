"""Rendering without rotation: scale and shift by a resize, three times faster than a warp.

A resize maps whole pixels to whole pixels. So its source window is a little larger than the visible
part, chosen so that both ends fall nearly on whole output pixels.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

import cv2

from utils.structures.images import ImageArray

TOLERANCE_PX = 1 / 16
"""Farthest that a pixel may be from its exact place, in output pixels; OpenCV 4's warps round to
1/32."""
MARGIN = 64
"""How many windows are tried at either end, in source pixels. One in eight fits by chance."""
WHOLE_FROM, WHOLE_TO = 0.5 - TOLERANCE_PX, 0.5 + TOLERANCE_PX
"""What half a pixel more than a whole place leaves behind the point."""
LARGEST_ZOOM = 4.0
"""Above it the margin of the window would cost more than the resize saves."""


@dataclass(frozen=True, slots=True)
class Span:
    """Along one axis: source pixels `first` to `last` become output pixels `start` to `stop`.

    Ends are exclusive. Both may lie outside their image.
    """

    first: int
    last: int
    start: int
    stop: int


def find_span(zoom: float, shift: float, length: int, stop: int) -> Span | None:
    """Return source pixels whose ends x land on whole pixels of zoom * x + shift.

    They cover the output pixels from 0 to `stop` and what interpolation looks at around them; if
    possible nothing of the border beyond the `length` source pixels. None where no window within
    the margin is as exact as `TOLERANCE_PX`.
    """
    lowest = int(-shift // zoom) - 1
    highest = int(-((shift - stop) // zoom)) + 1
    inside_low = (0,) if lowest < 0 and round(shift) <= 0 else ()
    is_end_seen = highest > length and round(zoom * length + shift) >= stop
    inside_high = (length,) if is_end_seen else ()
    low = _whole(zoom, shift, (*inside_low, *range(lowest, lowest - MARGIN, -1)))
    high = _whole(zoom, shift, (*inside_high, *range(highest, highest + MARGIN)))
    if low is None or high is None:
        return None
    return Span(low[0], high[0], low[1], high[1])


def _whole(zoom: float, shift: float, candidates: Iterable[int]) -> tuple[int, int] | None:
    # No function is called inside: this loop is the most frequent one of all that make a sample.
    shift += 0.5
    for edge in candidates:
        place = zoom * edge + shift
        if WHOLE_FROM <= place % 1.0 <= WHOLE_TO:
            return edge, math.floor(place)
    return None


def stretch(image: ImageArray, columns: Span, rows: Span) -> ImageArray:
    """Return the window of `image` (H, W, 3), stretched; beyond the image its border continues.

    Returns:
        (rows.stop - rows.start, columns.stop - columns.start, 3).
    """
    height, width = image.shape[:2]
    # Only one pixel of a border is read, but the window needs its full size.
    top, bottom = max(0, -rows.first), max(0, rows.last - height)
    left, right = max(0, -columns.first), max(0, columns.last - width)
    window = image[max(0, rows.first) : rows.last, max(0, columns.first) : columns.last]
    if top or bottom or left or right:
        window = cast(
            ImageArray,
            cv2.copyMakeBorder(window, top, bottom, left, right, cv2.BORDER_REPLICATE),
        )
    size_wh = (columns.stop - columns.start, rows.stop - rows.start)
    return cast(ImageArray, cv2.resize(window, size_wh, interpolation=cv2.INTER_LINEAR))
