"""Render one source image into the output by a single warp, or by a resize if nothing is rotated.

OpenCV's coordinates are pixel centres, ours are edges: a point (x, y) here is (x - 0.5, y - 0.5)
there. `_to_centres` is the only place that knows.

A resize is three times faster, and maps whole pixels to whole pixels. So its source window is a
little larger than the visible part, chosen so that both ends fall nearly on whole output pixels.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, cast

import cv2
import numpy as np

from data.augment.affine import translation
from data.augment.batch.geometry import Floats, Matrix, Points, map_points
from data.augment.layout import Tile
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


_FIRST_TRIED = 8
"""Windows that are tried for all axes before the rest is tried for those that need it: one in eight
fits by chance."""


class Spans(NamedTuple):
    """Source pixels `first` to `last` become output pixels `start` to `stop`, each (M,), whole."""

    first: Floats
    last: Floats
    start: Floats
    stop: Floats
    found: MaskArray
    """Whether there are such pixels; else the numbers have no meaning."""


def find_spans(zoom: Floats, shift: Floats, length: Floats, stop: Floats) -> Spans:
    """Return what `find_span` returns for each row of the arguments (M,)."""
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


_SUBPIXEL_BITS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Placement of a tile in the output."""

    tile: Tile
    matrix: Matrix
    """(3, 3) canvas to output."""
    corners: Points
    """(4, 2) corners of the tile's region in output pixels, in order around it."""
    bounds: tuple[int, int, int, int]
    """x1, y1, x2, y2 (end exclusive) of the output pixels that show it."""


def place(tile: Tile, matrix: Matrix, image_size: int) -> Placement | None:
    """Return the placement of `tile`, None if it is not visible.

    Args:
        tile: placement of an image on the canvas.
        matrix: (3, 3) canvas to output.
        image_size: side of the square output, pixels.
    """
    x1, y1, x2, y2 = tile.region
    if x2 <= x1 or y2 <= y1:
        return None
    corners = map_points(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], np.float64), matrix)
    bounds = pixel_bounds(corners, image_size)
    if bounds[2] <= bounds[0] or bounds[3] <= bounds[1]:
        return None
    return Placement(tile=tile, matrix=matrix, corners=corners, bounds=bounds)


def pixel_bounds(corners: Points, image_size: int) -> tuple[int, int, int, int]:
    """Return x1, y1, x2, y2 (end exclusive) of the pixels whose centres lie around `corners`.

    Outlines that share an edge share no pixel and leave none between them. Empty where the outline
    is outside a square image of `image_size`.
    """
    xs, ys = corners.T.tolist()
    edges = (min(xs), min(ys), max(xs), max(ys))
    x1, y1, x2, y2 = (min(max(math.ceil(edge - 0.5), 0), image_size) for edge in edges)
    return x1, y1, x2, y2


def render_tile(output: ImageArray, image: ImageArray, placement: Placement) -> None:
    """Draw a tile on the square `output` (S, S, 3), in place; other pixels stay as they are.

    Args:
        output: (S, S, 3) uint8.
        image: (H, W, 3) the tile's whole image, at any size.
        placement: of the tile in `output`.
    """
    x1, y1, x2, y2 = placement.bounds
    region = output[y1:y2, x1:x2]
    image, to_canvas = shrink(image, placement.tile, placement.corners)
    to_region = translation(-x1, -y1) @ placement.matrix @ to_canvas
    if not is_upright(placement.matrix):
        warp_outlined(image, to_region, region, placement.corners - (x1, y1))
    elif not _stretch(image, to_region, region):
        warp(image, to_region, region)


def shrink(image: ImageArray, tile: Tile, corners: Points) -> tuple[ImageArray, Matrix]:
    """Average blocks of pixels first where a warp would skip pixels; return the matrix that fits.

    Args:
        image: (H, W, 3) the tile's whole image, at any size.
        tile: placement of the image on the canvas.
        corners: (4, 2) of the tile's region in output pixels.

    Returns:
        (h, w, 3) the image or its averages, and (3, 3) from their pixels to the canvas.

    A bilinear warp reads 2 x 2 pixels, so below half size it aliases. Blocks of whole pixels
    are several times faster than a general area resize; the rest of the last block, less than an
    output pixel, is filled by the border rule.
    """
    height, width = image.shape[:2]
    x1, y1, x2, y2 = tile.region
    source_area = (x2 - x1) * (y2 - y1) * height * width / (tile.resized[0] * tile.resized[1])
    zoom = np.sqrt(cv2.contourArea(corners.astype(np.float32)) / source_area)
    to_canvas = tile.matrix((height, width))
    block = min(int(1 / max(zoom, 1e-6)), height, width)
    if block < 2:
        return image, to_canvas
    return average_blocks(image, block), to_canvas @ np.diag([block, block, 1.0])


def average_blocks(image: ImageArray, block: int) -> ImageArray:
    """Return the averages (h, w, 3) of whole blocks of `block` x `block` pixels."""
    rows, columns = image.shape[0] // block, image.shape[1] // block
    blocks = image[: rows * block, : columns * block]
    return cast(ImageArray, cv2.resize(blocks, (columns, rows), interpolation=cv2.INTER_AREA))


def _stretch(image: ImageArray, matrix: Matrix, target: ImageArray) -> bool:
    """Fill `target` (h, w, 3) by a resize; `matrix` keeps rectangles upright.

    Returns:
        False where a resize is not exact enough; `target` is untouched then.
    """
    (zoom_x, _, shift_x), (_, zoom_y, shift_y) = matrix[:2].tolist()
    if not 0 < min(zoom_x, zoom_y) <= max(zoom_x, zoom_y) <= LARGEST_ZOOM:
        return False
    columns = find_span(zoom_x, shift_x, image.shape[1], target.shape[1])
    rows = find_span(zoom_y, shift_y, image.shape[0], target.shape[0])
    if columns is None or rows is None:
        return False
    top, left = -rows.start, -columns.start
    stretched = stretch(image, columns, rows)
    target[:] = stretched[top : top + target.shape[0], left : left + target.shape[1]]
    return True


def _to_centres(matrix: Matrix) -> Matrix:
    return translation(-0.5, -0.5) @ matrix @ translation(0.5, 0.5)


def is_upright(matrix: Matrix) -> bool:
    """Tell whether `matrix` (3, 3) keeps rectangles rectangles, so that a region needs no mask."""
    (_, down), (across, _), (depth_x, depth_y) = (row[:2] for row in matrix.tolist())
    return not (down or across or depth_x or depth_y)


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
