"""Placement of images on the canvas before the random affine: one tile an image, without overlap.

Canvas coordinates are continuous pixels: (0, 0) is the outer corner of the first pixel. The square
output shows the middle of the canvas.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.augment.batch.geometry import Matrix
from data.images.letterbox import fit_into, fit_size

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
