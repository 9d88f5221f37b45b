"""Reference for the planner: a training sample computed tile by tile, axis by axis, box by box.

Matrices are (3, 3) and act on continuous pixel coordinates as columns (x, y, 1).
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import cast

import cv2
import numpy as np

from configs.schema.augment import AugmentSettings
from data.augment.layout import MAX_PERSPECTIVE_DEPTH, Matrix, Points, map_points
from data.augment.warp import (
    LARGEST_ZOOM,
    MARGIN,
    WHOLE_FROM,
    WHOLE_TO,
    average_blocks,
    warp,
    warp_outlined,
)
from data.images.letterbox import fit_into, fit_size
from utils.structures.images import FloatArray, ImageArray, Record, place_boxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Affine:
    """Sampled parameters of an affine; pairs are (x, y)."""

    degrees: float
    """Rotation, counter-clockwise as seen."""
    zoom: float
    shear_degrees: tuple[float, float]
    perspective: tuple[float, float]
    """Change of the projective divisor per canvas pixel from the middle."""
    shift: tuple[float, float]
    """Shares of the output's side."""

    def matrix(self, canvas_side: int, image_size: int) -> Matrix:
        """Return the map (3, 3) from a square canvas to the square output of `image_size` pixels.

        The centre of the canvas is mapped to the centre of the output, moved by `shift`. Order:
        centre, perspective, rotation and scale, shear, translation
        (docs/recipe_sources.md#augmentation).
        Ours: perspective is limited so that the horizon stays outside the canvas. The product of
        the five matrices is written out: this runs twice a sample.
        """
        depth = sum(map(abs, self.perspective)) * canvas_side / 2
        limit = min(1.0, MAX_PERSPECTIVE_DEPTH / depth) if depth else 1.0
        depth_x, depth_y = (share * limit for share in self.perspective)
        angle = math.radians(self.degrees)
        across, along = self.zoom * math.cos(angle), self.zoom * math.sin(angle)
        shear_x, shear_y = (math.tan(math.radians(each)) for each in self.shear_degrees)
        move_x, move_y = ((0.5 + share) * image_size for share in self.shift)
        rows = (
            (
                across - shear_x * along + move_x * depth_x,
                along + shear_x * across + move_x * depth_y,
                move_x,
            ),
            (
                shear_y * across - along + move_y * depth_x,
                shear_y * along + across + move_y * depth_y,
                move_y,
            ),
            (depth_x, depth_y, 1.0),
        )
        middle = canvas_side / 2
        return np.array([(x, y, constant - middle * (x + y)) for x, y, constant in rows])

    def snapped(self, point: tuple[float, float], canvas_side: int, image_size: int) -> "Affine":
        """Return the parameters shifted by half a pixel or less to put `point` on whole pixels.

        Args:
            point: (x, y) on the canvas.
            canvas_side: of the square canvas, pixels.
            image_size: side of the square output, pixels.
        """
        landing = map_points(np.array(point), self.matrix(canvas_side, image_size))
        x, y = ((np.round(landing) - landing) / image_size).tolist()
        return replace(self, shift=(self.shift[0] + x, self.shift[1] + y))


def draw_affine(settings: AugmentSettings, rng: np.random.Generator) -> Affine:
    """Sample the parameters, each uniform within its setting."""
    units = rng.uniform(-1, 1, 8).tolist()
    return Affine(
        degrees=units[0] * settings.degrees,
        zoom=1 + units[1] * settings.scale,
        shear_degrees=(units[2] * settings.shear, units[3] * settings.shear),
        perspective=(units[4] * settings.perspective, units[5] * settings.perspective),
        shift=(units[6] * settings.translate, units[7] * settings.translate),
    )


def translation(x: float, y: float) -> Matrix:
    """Return the matrix (3, 3) that moves points by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


Region = tuple[float, float, float, float]
"""x1, y1, x2, y2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One image on the canvas: scaled, moved, and cut to `region`."""

    index: int
    """Which record."""
    scale: tuple[float, float]
    """(vertical, horizontal): canvas pixels per original pixel."""
    resized: tuple[int, int]
    """(height, width) of the whole image on the canvas."""
    offset: tuple[float, float]
    """(x, y) of the image's corner on the canvas."""
    region: Region
    """Part of the canvas the image may fill; empty where x2 <= x1 or y2 <= y1."""

    def matrix(self, size: tuple[int, int]) -> Matrix:
        """Return the map (3, 3) to the canvas from the image at `size` = (height, width) pixels."""
        (height, width), (left, top) = self.resized, self.offset
        return np.array(
            [[width / size[1], 0.0, left], [0.0, height / size[0], top], [0.0, 0.0, 1.0]]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The tiles of a square canvas of `side` pixels."""

    side: int
    corner: tuple[int, int]
    """(x, y) where most edges of tiles meet; drawn on a whole pixel, most tiles need no warp."""
    tiles: tuple[Tile, ...]


def single(index: int, size: tuple[int, int], image_size: int) -> Layout:
    """Return one letterboxed image of `size` = (height, width) on a canvas of `image_size`."""
    box = fit_into(size, image_size, (image_size, image_size))
    tile = _tile(index, size, box.resized, (box.pad[1], box.pad[0]), (0, 0, image_size, image_size))
    return Layout(side=image_size, corner=(box.pad[1], box.pad[0]), tiles=(tile,))


def mosaic_four(
    indices: Sequence[int],
    sizes: Sequence[tuple[int, int]],
    image_size: int,
    rng: np.random.Generator,
) -> Layout:
    """Return a mosaic of four images.

    They meet in a random point of the middle half of a double canvas. `indices` are placed top
    left, top right, bottom left, bottom right; `sizes` are theirs, (height, width). Images are
    scaled to `image_size` and cut at the canvas (docs/recipe_sources.md#augmentation).
    """
    side = 2 * image_size
    x, y = (int(value) for value in rng.uniform(image_size / 2, 3 * image_size / 2, size=2))
    columns, rows = ((0, x), (x, side)), ((0, y), (y, side))
    tiles = []
    for position, (index, size) in enumerate(zip(indices, sizes, strict=True)):
        row, column = divmod(position, 2)
        height, width = fit_size(size, image_size)
        left, top = x - width * (1 - column), y - height * (1 - row)
        cell = (columns[column][0], rows[row][0], columns[column][1], rows[row][1])
        tiles.append(_tile(index, size, (height, width), (left, top), cell))
    return Layout(side=side, corner=(x, y), tiles=tuple(tiles))


def mosaic_nine(
    indices: Sequence[int],
    sizes: Sequence[tuple[int, int]],
    image_size: int,
    rng: np.random.Generator,
) -> Layout:
    """Return a mosaic of nine: an image with eight around it; a double canvas shows a random part.

    `indices` are placed row by row, the fifth in the middle; each image touches the middle one with
    its side or corner and is cut at its cell of the grid that the middle one spans.
    """
    side = 2 * image_size
    middle_height, middle_width = fit_size(sizes[4], image_size)
    x, y = (int(value) for value in rng.uniform(0, image_size, size=2))
    edges_x = (0, x, x + middle_width, side)
    edges_y = (0, y, y + middle_height, side)
    tiles = []
    for position, (index, size) in enumerate(zip(indices, sizes, strict=True)):
        row, column = divmod(position, 3)
        height, width = fit_size(size, image_size)
        left = edges_x[column] if column else x - width
        top = edges_y[row] if row else y - height
        cell = (edges_x[column], edges_y[row], edges_x[column + 1], edges_y[row + 1])
        tiles.append(_tile(index, size, (height, width), (left, top), cell))
    return Layout(side=side, corner=(x, y), tiles=tuple(tiles))


def _tile(
    index: int,
    size: tuple[int, int],
    resized: tuple[int, int],
    offset: tuple[float, float],
    cell: Region,
) -> Tile:
    (height, width), (left, top) = resized, offset
    return Tile(
        index=index,
        scale=(height / size[0], width / size[1]),
        resized=resized,
        offset=offset,
        region=(
            max(left, cell[0]),
            max(top, cell[1]),
            min(left + width, cell[2]),
            min(top + height, cell[3]),
        ),
    )


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


def is_upright(matrix: Matrix) -> bool:
    """Tell whether `matrix` (3, 3) keeps rectangles rectangles, so that a region needs no mask."""
    (_, down), (across, _), (depth_x, depth_y) = (row[:2] for row in matrix.tolist())
    return not (down or across or depth_x or depth_y)


def canvas_boxes(tile: Tile, record: Record) -> FloatArray:
    """Return the record's boxes (N, 4) in canvas pixels, clipped to the tile's region.

    A box outside the region becomes one without area.
    """
    (left, top), (x1, y1, x2, y2) = tile.offset, tile.region
    boxes = place_boxes(record.boxes, scale=tile.scale, offset=(top, left))
    return boxes.clip(
        np.array([x1, y1, x1, y1], np.float32), np.array([x2, y2, x2, y2], np.float32)
    )
