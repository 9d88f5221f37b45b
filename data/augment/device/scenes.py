"""Scenes rendered by tensor operations: which tile an output pixel shows, and its colour.

Nothing here synchronises with the device, and no shape depends on a value. G scenes, K tiles at
most in one of them, S x S output pixels, P pixels of all windows.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

CHUNK_PIXELS = 1 << 21
"""Output pixels computed at once, which bounds the memory of intermediate results."""
NEAREST_HORIZON = 0.1
"""Smallest divisor of a map from output to canvas; in view it is above 1/2, as the other way it is
below 2."""
NOWHERE = -1.0
"""A canvas coordinate in no tile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneTables:
    """Tables of scenes and tiles.

    Unused tiles have no bounds; row 0 of `lookups` and `windows` is the colour around the tiles.
    """

    matrices: Tensor
    """(G, 3, 3) float32 output pixels to canvas."""
    bounds: Tensor
    """(G, K, 4) float32 x1, y1, x2, y2, whole output pixels, ends exclusive."""
    regions: Tensor | None
    """(G, K, 4) float32 x1, y1, x2, y2 on the canvas, for outlines that are turned; None where none
    is, and bounds say all."""
    lookups: Tensor
    """(G, K + 1, 4) float32 scale x, y and offset x, y from the canvas to a window's pixels."""
    windows: Tensor
    """(G, K + 1, 3) int32 first pixel, width and height of a window among all pixels."""

    def __len__(self) -> int:
        """Return the number of scenes."""
        return len(self.matrices)

    def each(self, change: Callable[[Tensor], Tensor]) -> "SceneTables":
        """Return the tables with `change` made to each."""
        return SceneTables(
            matrices=change(self.matrices),
            bounds=change(self.bounds),
            regions=None if self.regions is None else change(self.regions),
            lookups=change(self.lookups),
            windows=change(self.windows),
        )

    def part(self, scenes: slice) -> "SceneTables":
        """Return the tables of some scenes."""
        return self.each(lambda table: table[scenes])


def chunks(count: int, image_size: int) -> Iterator[slice]:
    """Yield parts of `count` images of `image_size` pixels that are worked on at once."""
    step = max(1, CHUNK_PIXELS // image_size**2)
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


def render_scenes(tables: SceneTables, pixels: Tensor, image_size: int) -> Tensor:
    """Return the scenes (G, S, S, 3) uint8.

    Args:
        tables: of G scenes.
        pixels: (P, 3) uint8 of all windows.
        image_size: S.
    """
    images = pixels.new_empty((len(tables), image_size, image_size, 3))
    for part in chunks(len(tables), image_size):
        images[part] = _drawn(tables.part(part), pixels, image_size)
    return images


def blend_scenes(images: Tensor, others: Tensor, partners: Tensor, shares: Tensor) -> None:
    """Blend images (B, S, S, 3) with some of `others` (M, S, S, 3), in place; M is above 0.

    `partners` (B,) int64 says which, `shares` (B,) float32 how much of each image stays; 1 leaves
    it as it is.
    """
    for part in chunks(len(images), images.shape[1]):
        share = shares[part, None, None, None]
        added = others.index_select(0, partners[part]) * (1 - share)
        images[part] = (images[part] * share + added).round_().to(torch.uint8)


def _drawn(tables: SceneTables, pixels: Tensor, image_size: int) -> Tensor:
    centres = torch.arange(image_size, device=pixels.device, dtype=torch.float32) + 0.5
    x, y = centres[None, None, :], centres[None, :, None]
    canvas_x, canvas_y = _canvas_points(tables, x, y)
    shown = _shown_tiles(tables, (x, y), (canvas_x, canvas_y)).flatten()
    scale_x, scale_y, offset_x, offset_y = _looked_up(tables.lookups, shown)
    start, width, height = _looked_up(tables.windows, shown)
    left, right, share_x = _neighbours(canvas_x.flatten() * scale_x + offset_x, width)
    top, bottom, share_y = _neighbours(canvas_y.flatten() * scale_y + offset_y, height)
    top, bottom = start + top * width, start + bottom * width
    upper = _between(pixels, top + left, top + right, share_x)
    lower = _between(pixels, bottom + left, bottom + right, share_x)
    colours = upper + (lower - upper) * share_y[:, None]
    return (colours + 0.5).to(torch.uint8).view(-1, image_size, image_size, 3)


def _canvas_points(tables: SceneTables, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the canvas coordinates x and y (G, S, S) of output points."""
    rows = [
        row[:, 0, None, None] * x + row[:, 1, None, None] * y + row[:, 2, None, None]
        for row in tables.matrices.unbind(1)
    ]
    if tables.regions is None:
        return rows[0], rows[1]
    is_beyond = rows[2] < NEAREST_HORIZON
    point_x, point_y = (row.div_(rows[2]).masked_fill_(is_beyond, NOWHERE) for row in rows[:2])
    return point_x, point_y


def _shown_tiles(
    tables: SceneTables, pixel: tuple[Tensor, Tensor], point: tuple[Tensor, Tensor]
) -> Tensor:
    """Return for each output pixel (G, S, S) the row of what it shows in the flattened tables."""
    num_scenes, num_tiles = tables.bounds.shape[:2]
    shown = torch.zeros_like(point[0], dtype=torch.int32)
    for tile in range(num_tiles):
        inside = _inside(tables.bounds[:, tile], pixel)
        if tables.regions is not None:
            inside = inside & _inside(tables.regions[:, tile], point)
        shown.masked_fill_(inside, tile + 1)
    first_rows = torch.arange(num_scenes, device=shown.device, dtype=torch.int32) * (num_tiles + 1)
    return shown.add_(first_rows[:, None, None])


def _inside(areas: Tensor, point: tuple[Tensor, Tensor]) -> Tensor:
    """Return which points (G or 1, S or 1, S or 1) are in `areas` (G, 4), ends exclusive."""
    (x, y), (x1, y1, x2, y2) = point, areas[:, :, None, None].unbind(1)
    return (x >= x1) & (x < x2) & (y >= y1) & (y < y2)


def _looked_up(table: Tensor, rows: Tensor) -> tuple[Tensor, ...]:
    """Return each column of `table` (G, K + 1, C) at `rows` (N,) of it: C tensors (N,)."""
    return tuple(column.index_select(0, rows) for column in table.flatten(0, 1).unbind(1))


def _neighbours(place: Tensor, length: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the pixels below and above `place` (N,), and the share of the second in between.

    A line of `length` (N,) pixels is extended by its first and last pixel.
    """
    below = place.floor()
    first, last = below.int(), length - 1
    return first.clamp(min=0).minimum(last), (first + 1).clamp_(min=0).minimum(last), place - below


def _between(pixels: Tensor, first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Return colours (N, 3) float32 between two of `pixels` (P, 3) each."""
    start = pixels.index_select(0, first).float()
    return start + (pixels.index_select(0, second).float() - start) * share[:, None]
