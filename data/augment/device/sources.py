"""Source pixels of a batch that the device renders: the visible window of each tile."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from data.augment.layout import Floats, Matrix, Points, Rows, Tiles
from data.augment.plan import block_sides
from data.augment.warp import average_blocks
from utils.structures.images import ImageArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Which part of its image each of T tiles shows.

    Canvas point (x, y) has the colour at `scale` * (x, y) + `offset`, counted from the centre of
    the window's first pixel. Beyond a window its image ends, or nothing is visible.
    """

    blocks: Rows
    """(T,) sides of the blocks of pixels that are averaged first, 1 where none are."""
    ends: Rows
    """(T, 4) x1, y1, x2, y2 (end exclusive) in averaged pixels."""
    scale: Floats
    """(T, 2) along x and y."""
    offset: Floats
    """(T, 2) along x and y."""

    @classmethod
    def join(cls, parts: "Sequence[Windows]") -> "Windows":
        """Return the windows of several parts, at least one, in their order."""
        rows = {name: [getattr(part, name) for part in parts] for name in cls.__slots__}
        return cls(**{name: np.concatenate(columns) for name, columns in rows.items()})

    def cut(self, images: Sequence[ImageArray]) -> list[ImageArray]:
        """Return the windows (h, w, 3) of the T images; without averages they are views."""
        rows = zip(images, self.blocks.tolist(), self.ends.tolist(), strict=True)
        return [
            (average_blocks(image, block) if block > 1 else image)[y1:y2, x1:x2]
            for image, block, (x1, y1, x2, y2) in rows
        ]


def find_windows(tiles: Tiles, sizes: Floats) -> Windows:
    """Return the windows of tiles whose images have `sizes` (T, 2), height and width."""
    blocks = block_sides(tiles, sizes)
    step = (tiles.resized / sizes * blocks[:, None])[:, ::-1]
    low, high = _canvas_windows(tiles)
    last_pixel = np.floor(sizes / blocks[:, None])[:, ::-1]
    # Interpolation at a pixel's centre reads half a pixel back and one and a half ahead.
    first = (np.floor((low - tiles.offset) / step) - 1).clip(0, last_pixel - 1)
    last = (np.ceil((high - tiles.offset) / step) + 1).clip(first + 1, last_pixel)
    return Windows(
        blocks=blocks,
        ends=np.concatenate((first, last), axis=1).astype(np.int64),
        scale=1 / step,
        offset=-tiles.offset / step - first - 0.5,
    )


def _canvas_windows(tiles: Tiles) -> tuple[Points, Points]:
    """Return the ends (T, 2) of the upright part of each tile's region that the output shows."""
    region = tiles.region
    corners = np.ones((len(tiles), 4, 3))
    corners[:, :, :2] = tiles.bounds[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    mapped = corners @ output_to_canvas(tiles.matrix).transpose(0, 2, 1)
    divisor = mapped[:, :, 2:]
    # A corner beyond the horizon says nothing about what is seen.
    is_known = divisor.min(axis=(1, 2)) > 0
    points = mapped[:, :, :2] / np.where(is_known[:, None, None], divisor, 1.0)
    low = np.maximum(points.min(axis=1), region[:, :2])
    high = np.minimum(points.max(axis=1), region[:, 2:])
    known = is_known[:, None]
    return np.where(known, low, region[:, :2]), np.where(known, high, region[:, 2:])


def output_to_canvas(matrices: Matrix) -> Matrix:
    """Return the inverses of maps (..., 3, 3) from canvas to output.

    Their divisors are above 0 for every output point that shows the canvas.
    """
    return cast(Matrix, np.linalg.inv(matrices))
