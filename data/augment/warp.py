"""Warps of one source image into the output, and the resizes that do the same where they can.

OpenCV's coordinates are pixel centres, ours are edges: a point (x, y) here is (x - 0.5, y - 0.5)
there. `_to_centres` is the only place that knows.

A resize is three times faster, and maps whole pixels to whole pixels. So its source window is a
little larger than the visible part, chosen so that both ends fall nearly on whole output pixels.
"""

from typing import NamedTuple, cast

import cv2
import numpy as np

from data.augment.layout import Floats, Matrix, Points
from utils.structures.images import ImageArray, MaskArray

TOLERANCE_PX = 1 / 16
"""Farthest that a pixel may be from its exact place, in output pixels; OpenCV 4's warps round to
1/32."""
MARGIN = 64
"""How many windows are tried at either end, in source pixels. One in eight fits by chance."""
WHOLE_FROM, WHOLE_TO = 0.5 - TOLERANCE_PX, 0.5 + TOLERANCE_PX
"""What half a pixel more than a whole place leaves behind the point."""
LARGEST_ZOOM = 4.0
"""Above it the margin of the window would cost more than the resize saves."""
_FIRST_TRIED = 8
"""Windows that are tried for all axes before the rest is tried for those that need it: one in eight
fits by chance."""
_SUBPIXEL_BITS = 4
_HALF_ON = np.array([[1.0, 0.0, 0.5], [0.0, 1.0, 0.5], [0.0, 0.0, 1.0]])
_HALF_BACK = np.array([[1.0, 0.0, -0.5], [0.0, 1.0, -0.5], [0.0, 0.0, 1.0]])


class Spans(NamedTuple):
    """Source pixels `first` to `last` become output pixels `start` to `stop`, each (M,), whole.

    Ends are exclusive. Both may lie outside their image.
    """

    first: Floats
    last: Floats
    start: Floats
    stop: Floats
    found: MaskArray
    """Whether there are such pixels; else the numbers have no meaning."""


def find_spans(zoom: Floats, shift: Floats, length: Floats, stop: Floats) -> Spans:
    """Return, for M axes, source pixels whose ends x land on whole pixels of zoom * x + shift.

    They cover the output pixels from 0 to `stop` (M,) and what interpolation looks at around them;
    if possible nothing of the border beyond the `length` (M,) source pixels. Not found are those
    where no window within the margin is as exact as `TOLERANCE_PX`.
    """
    lowest = np.floor_divide(-shift, zoom) - 1
    highest = 1 - np.floor_divide(shift - stop, zoom)
    inside_low = (lowest < 0) & (np.rint(shift) <= 0)
    inside_high = (highest > length) & (np.rint(zoom * length + shift) >= stop)
    first, start, has_first = _whole_edges(zoom, shift, np.zeros(len(zoom)), inside_low, lowest, -1)
    last, end, has_last = _whole_edges(zoom, shift, length, inside_high, highest, 1)
    return Spans(first, last, start, end, has_first & has_last)


def _whole_edges(
    zoom: Floats, shift: Floats, inside: Floats, is_inside: MaskArray, edge: Floats, step: int
) -> tuple[Floats, Floats, MaskArray]:
    """Return the first edges that land on whole pixels, these pixels, and whether there are any.

    Tried are `inside` where `is_inside`, then `edge` and what follows it by `step`.
    """
    shift = shift + 0.5
    tried = np.where(is_inside, inside, edge)
    places = zoom * tried + shift
    found = _is_whole(places)
    rest = np.flatnonzero(~found)
    for offsets in np.split(np.arange(MARGIN) * step, [_FIRST_TRIED]):
        if not len(rest):
            break
        edges = edge[rest, None] + offsets
        reached = zoom[rest, None] * edges + shift[rest, None]
        fits = _is_whole(reached)
        chosen = fits.argmax(axis=1)
        rows = np.arange(len(rest))
        has_one = fits[rows, chosen]
        at = rest[has_one]
        tried[at], places[at] = edges[rows, chosen][has_one], reached[rows, chosen][has_one]
        found[at] = True
        rest = rest[~has_one]
    return tried, np.floor(places), found


def _is_whole(places: Floats) -> MaskArray:
    behind = places - np.floor(places)
    return (behind >= WHOLE_FROM) & (behind <= WHOLE_TO)


def average_blocks(image: ImageArray, block: int) -> ImageArray:
    """Return the averages (h, w, 3) of whole blocks of `block` x `block` pixels."""
    rows, columns = image.shape[0] // block, image.shape[1] // block
    blocks = image[: rows * block, : columns * block]
    return cast(ImageArray, cv2.resize(blocks, (columns, rows), interpolation=cv2.INTER_AREA))


def _to_centres(matrix: Matrix) -> Matrix:
    return cast(Matrix, _HALF_BACK @ matrix @ _HALF_ON)


def warp(image: ImageArray, matrix: Matrix, target: ImageArray) -> None:
    """Fill `target` (h, w, 3) in place; `matrix` maps pixels of `image` to its own."""
    matrix = _to_centres(matrix)
    size_wh = (target.shape[1], target.shape[0])
    how = {"flags": cv2.INTER_LINEAR, "borderMode": cv2.BORDER_REPLICATE}
    if matrix[2, 0] or matrix[2, 1]:
        cv2.warpPerspective(image, matrix, size_wh, dst=target, **how)
    else:
        cv2.warpAffine(image, matrix[:2], size_wh, dst=target, **how)


def warp_outlined(image: ImageArray, matrix: Matrix, target: ImageArray, outline: Points) -> None:
    """Fill the part of `target` (h, w, 3) inside the convex `outline` (4, 2), as `warp` does."""
    patch = np.empty_like(target)
    warp(image, matrix, patch)
    cv2.copyTo(patch, _mask(outline, target.shape[:2]), target)


def _mask(corners: Points, shape: tuple[int, int]) -> ImageArray:
    """Return uint8 (h, w), not 0 inside the convex outline `corners` (4, 2)."""
    mask = np.zeros(shape, np.uint8)
    fixed = np.round((corners - 0.5) * 2**_SUBPIXEL_BITS).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 255, shift=_SUBPIXEL_BITS)
    return mask
