"""Pixels of a batch: each tile by one resize or warp straight into the memory of its image."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from data.augment.affine import Points
from data.augment.batch.geometry import Floats, Rows, Tiles, upright
from data.augment.batch.spans import find_spans
from data.augment.layout import Matrix
from data.augment.stretch import LARGEST_ZOOM
from data.augment.warp import average_blocks, warp, warp_outlined
from data.images.letterbox import PAD_COLOUR
from utils.structures.images import ImageArray, MaskArray

TILES_AT_ONCE = 64
"""Source images that are open at the same time: each takes a file handle where it is mapped."""


class SceneDrawer:
    """Draws the scenes of a batch one after the other, reading the images that they need.

    What `data.augment.render.render_scene` does for one scene, with the same pixels.
    """

    def __init__(self, tiles: Tiles, read: Callable[[int], ImageArray]) -> None:
        """Initialise; nothing is read.

        Args:
            tiles: of all scenes, scene by scene.
            read: gives the pixels (H, W, 3) of a record by its index, at any size.
        """
        self._drawings = _drawings(tiles, read)
        self._next = next(self._drawings, None)

    def draw(self, scene: int, output: ImageArray) -> None:
        """Fill `output` (S, S, 3) uint8 by a scene, grey where no tile is; scenes ascend.

        Raises:
            UserError: an image cannot be read.
        """
        output.fill(PAD_COLOUR)
        while self._next is not None and self._next[0] == scene:
            _, draw_into = self._next
            draw_into(output)
            self._next = next(self._drawings, None)


def _drawings(
    tiles: Tiles, read: Callable[[int], ImageArray]
) -> Iterator[tuple[int, Callable[[ImageArray], None]]]:
    """Yield the scene of each tile, and what draws the tile into it."""
    for start in range(0, len(tiles), TILES_AT_ONCE):
        part = tiles.part(slice(start, start + TILES_AT_ONCE))
        # No name for the images: they must not stay open while the next ones are read.
        drawings = _tile_drawings(part, [read(index) for index in part.index.tolist()])
        yield from zip(part.scene.tolist(), drawings, strict=True)
        del drawings


def _tile_drawings(
    tiles: Tiles, images: Sequence[ImageArray]
) -> Iterator[Callable[[ImageArray], None]]:
    """Yield for each tile what `data.augment.warp.render_tile` does with it.

    Args:
        tiles: T of them.
        images: (H, W, 3) uint8, the whole image of each tile.
    """
    sizes = np.array([image.shape[:2] for image in images], np.float64)
    blocks = _blocks(tiles, sizes)
    matrices = _to_region(tiles, sizes, blocks)
    is_upright = upright(tiles.matrix)
    resizes, is_exact = _resizes(
        tiles, matrices, np.floor(sizes / blocks[:, None]), is_upright
    )
    columns = (tiles.bounds, blocks, is_upright, is_exact, resizes)
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for image, matrix, corners, row in zip(images, matrices, tiles.corners, rows, strict=True):
        yield partial(_draw_tile, image, matrix, corners, *row)


def _draw_tile(
    image: ImageArray,
    matrix: Matrix,
    corners: Points,
    bounds: Sequence[int],
    block: int,
    is_upright: bool,
    is_exact: bool,
    resize: Sequence[int],
    output: ImageArray,
) -> None:
    x1, y1, x2, y2 = bounds
    target = output[y1:y2, x1:x2]
    source = image if block < 2 else average_blocks(image, block)
    if is_exact:
        _resize_into(target, source, resize)
    elif is_upright:
        warp(source, matrix, target)
    else:
        warp_outlined(source, matrix, target, corners - (x1, y1))


def _blocks(tiles: Tiles, sizes: Floats) -> Rows:
    """Return the sides (T,) of the blocks of pixels that are averaged first, 1 where none are.

    The rule of `data.augment.warp.shrink`; areas are summed up as by OpenCV's `contourArea`.
    """
    x, y = tiles.corners.astype(np.float32).astype(np.float64).transpose(2, 1, 0)
    area = np.zeros(len(tiles))
    for corner in range(4):
        area += x[corner - 1] * y[corner] - y[corner - 1] * x[corner]
    region, resized = tiles.region, tiles.resized
    source_area = (region[:, 2] - region[:, 0]) * (region[:, 3] - region[:, 1])
    source_area = source_area * sizes[:, 0] * sizes[:, 1] / (resized[:, 0] * resized[:, 1])
    zoom = np.sqrt(np.abs(area * 0.5) / source_area)
    blocks = np.floor(1 / np.maximum(zoom, 1e-6))
    return np.minimum(blocks, sizes.min(axis=1)).clip(1).astype(np.int64)


def _to_region(tiles: Tiles, sizes: Floats, blocks: Rows) -> Matrix:
    """Return the maps (T, 3, 3) from averaged pixels of the images to the bounds of the tiles."""
    to_canvas = np.zeros((len(tiles), 3, 3))
    to_canvas[:, [1, 0], [1, 0]] = tiles.resized / sizes * blocks[:, None]
    to_canvas[:, :2, 2] = tiles.offset
    to_canvas[:, 2, 2] = 1
    to_bounds = np.zeros((len(tiles), 3, 3))
    to_bounds[:, [0, 1, 2], [0, 1, 2]] = 1
    to_bounds[:, :2, 2] = -tiles.bounds[:, :2]
    # Matrix by matrix, as for one tile: a sum of products in another order has other last bits.
    matrices: Matrix = to_bounds @ tiles.matrix @ to_canvas
    return matrices


def _resizes(
    tiles: Tiles, matrices: Matrix, sizes: Floats, is_upright: MaskArray
) -> tuple[npt.NDArray[np.int64], MaskArray]:
    """Return how a resize fills each tile, and whether there is an exact one; `sizes` (T, 2) are of
    the sources.

    The columns are the ends of the window in the source (top, bottom, left, right), its borders
    beyond the image in the same order, size of the result (width, height), and the first row and
    column of it that are seen.
    """
    zooms, shifts = matrices[:, [0, 1], [0, 1]], matrices[:, :2, 2]
    fits = is_upright & (zooms.min(axis=1) > 0) & (zooms.max(axis=1) <= LARGEST_ZOOM)
    table = np.zeros((len(tiles), 12), np.int64)
    rows = np.flatnonzero(fits)
    if not len(rows):
        return table, fits
    lengths = sizes[rows, ::-1]
    seen = (tiles.bounds[rows, 2:] - tiles.bounds[rows, :2]).astype(np.float64)
    spans = find_spans(zooms[rows].ravel(), shifts[rows].ravel(), lengths.ravel(), seen.ravel())
    first, last, start, stop = (each.reshape(-1, 2) for each in spans[:4])
    # Along x, then y; the table has y before x but in the size.
    before, after = np.maximum(0, -first), np.maximum(0, last - lengths)
    window = np.maximum(0, first)
    columns = (
        *(window[:, 1], last[:, 1], window[:, 0], last[:, 0]),
        *(before[:, 1], after[:, 1], before[:, 0], after[:, 0]),
        *(stop - start).T,
        *(-start[:, 1], -start[:, 0]),
    )
    table[rows] = np.stack(columns, axis=1)
    fits[rows] = spans.found.reshape(-1, 2).all(axis=1)
    return table, fits


def _resize_into(target: ImageArray, image: ImageArray, resize: Sequence[int]) -> None:
    """Fill `target` (h, w, 3) by a row of what `_resizes` returns."""
    y1, y2, x1, x2, *borders, width, height, top, left = resize
    window = image[y1:y2, x1:x2]
    if any(borders):
        window = cv2.copyMakeBorder(window, *borders, cv2.BORDER_REPLICATE)
    stretched = cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR)
    target[:] = stretched[top : top + target.shape[0], left : left + target.shape[1]]
