"""Layouts of a batch: which image touches which point of its canvas, in flat lists.

The layouts are those of `data/augment/layout.py`, in the same order of draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from data.images.letterbox import fit_into, fit_size


@dataclass(slots=True)
class Canvases:
    """Scenes of a batch and their tiles, row by row."""

    image_sizes: list[int] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)
    corners: list[tuple[int, int]] = field(default_factory=list)
    """(x, y) of each scene, drawn on whole pixels."""
    units: list[list[float]] = field(default_factory=list)
    """Eight draws from -1 to 1 for the affine of each scene."""
    tiles: list[tuple[int, ...]] = field(default_factory=list)
    """Scene; index of the record; anchor x, y; whether the image ends at its anchor instead of
    starting there, along x, y; the cell x1, y1, x2, y2 that it may fill."""

    def __len__(self) -> int:
        return len(self.sides)

    def _start(self, image_size: int, side: int, corner: tuple[int, int]) -> int:
        self.image_sizes.append(image_size)
        self.sides.append(side)
        self.corners.append(corner)
        return len(self.sides) - 1

    def add_single(self, index: int, size: tuple[int, int], image_size: int) -> None:
        """Add one letterboxed image of `size` = (height, width)."""
        top, left = fit_into(size, image_size, (image_size, image_size)).pad
        scene = self._start(image_size, image_size, (left, top))
        self.tiles.append((scene, index, left, top, 0, 0, 0, 0, image_size, image_size))

    def add_four(self, indices: Sequence[int], image_size: int, rng: np.random.Generator) -> None:
        """Add a mosaic of four images, row by row."""
        side = 2 * image_size
        x, y = map(int, rng.uniform(image_size / 2, 3 * image_size / 2, size=2).tolist())
        scene = self._start(image_size, side, (x, y))
        first, second, third, fourth = indices
        self.tiles += (
            (scene, first, x, y, 1, 1, 0, 0, x, y),
            (scene, second, x, y, 0, 1, x, 0, side, y),
            (scene, third, x, y, 1, 0, 0, y, x, side),
            (scene, fourth, x, y, 0, 0, x, y, side, side),
        )

    def add_nine(
        self,
        indices: Sequence[int],
        middle: tuple[int, int],
        image_size: int,
        rng: np.random.Generator,
    ) -> None:
        """Add a mosaic of nine images, row by row; the fifth has the size `middle`."""
        side = 2 * image_size
        height, width = fit_size(middle, image_size)
        x, y = map(int, rng.uniform(0, image_size, size=2).tolist())
        scene = self._start(image_size, side, (x, y))
        edges_x, edges_y = (0, x, x + width, side), (0, y, y + height, side)
        for position, index in enumerate(indices):
            row, column = divmod(position, 3)
            anchor = (edges_x[column] if column else x, edges_y[row] if row else y)
            cell = (edges_x[column], edges_y[row], edges_x[column + 1], edges_y[row + 1])
            self.tiles.append((scene, index, *anchor, int(not column), int(not row), *cell))
