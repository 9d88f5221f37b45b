"""Layouts of a batch, and where its tiles and objects lie in its images, all scenes at once.

A layout says which image touches which point of its canvas; a random affine maps the canvas to the
square output. Coordinates are continuous pixels, (0, 0) the outer corner of the first one; matrices
are (3, 3) and act on them as columns (x, y, 1).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import cast

import numpy as np
import numpy.typing as npt

from configs.schema.augment import AugmentSettings
from data.images.letterbox import fit_into, fit_size, fit_sizes
from data.records.split import RecordTable
from utils.structures.images import FloatArray, LabelArray, MaskArray

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Points = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]

MIN_SIDE = 2.0
"""A box whose width or height is not above this many pixels after the change is dropped."""
MIN_AREA_RATIO = 0.1
"""A box that keeps no more than this share of its area is dropped."""
MAX_ASPECT = 100.0
"""A box this much longer than wide is dropped."""
MAX_PERSPECTIVE_DEPTH = 0.8
"""Largest change of the projective divisor over the canvas; at 1 the horizon enters the image."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiles:
    """T visible tiles of all scenes, scene by scene."""

    scene: Rows
    index: Rows
    """Which record."""
    resized: Floats
    """(T, 2): height and width of the whole image on its canvas."""
    offset: Floats
    """(T, 2): x and y of the image's corner on its canvas."""
    region: Floats
    """(T, 4): the part of the canvas that it fills, x1, y1, x2, y2."""
    matrix: Matrix
    """(T, 3, 3) canvas to output."""
    corners: Points
    """(T, 4, 2) of the region in output pixels, in order around it."""
    bounds: Rows
    """(T, 4): x1, y1, x2, y2 (end exclusive) of the output pixels that show it."""

    def __len__(self) -> int:
        return len(self.scene)

    def part(self, rows: slice | MaskArray) -> "Tiles":
        """Return some of the tiles."""
        return Tiles(**{name: getattr(self, name)[rows] for name in self.__slots__})


@dataclass(frozen=True, slots=True, kw_only=True)
class Objects:
    """Objects of all scenes, those of scene i at rows `ends[i]` to `ends[i + 1]`."""

    boxes: FloatArray
    labels: LabelArray
    ignore: MaskArray
    ends: Rows


def draw_units(rng: np.random.Generator) -> list[float]:
    """Sample the eight numbers from -1 to 1 from which the parameters of an affine are made."""
    units: list[float] = rng.uniform(-1, 1, 8).tolist()
    return units


def affine_values(units: Sequence[Sequence[float]], settings: AugmentSettings) -> Floats:
    """Return the parameters of affines, each uniform within its setting.

    Args:
        units: S rows of `draw_units`.
        settings: the strengths.

    Returns:
        (S, 8): rotation in degrees, counter-clockwise as seen; zoom - 1; shear along x and y in
        degrees; perspective along x and y, change of the projective divisor per canvas pixel from
        the middle; shift along x and y, shares of the output's side.
    """
    strengths = (
        settings.degrees,
        settings.scale,
        *(settings.shear,) * 2,
        *(settings.perspective,) * 2,
        *(settings.translate,) * 2,
    )
    return np.array(units) * strengths


def place_scenes(canvases: Canvases, values: Floats, records: RecordTable) -> tuple[Tiles, Objects]:
    """Return the visible tiles of the scenes and the objects that are left.

    Boxes are clipped to their tile, mapped, clipped to the output, and dropped if too little is
    left.

    Args:
        canvases: the layouts of S scenes, at least one.
        values: (S, 8) their affines, as of `affine_values`.
        records: all records.
    """
    image_sizes = np.array(canvases.image_sizes, np.float64)
    matrices = affine_matrices(canvases, values, image_sizes)
    tiles = _place_tiles(canvases, records, matrices, image_sizes)
    return tiles, _place_objects(tiles, records, matrices, 1 + values[:, 1], image_sizes)


def affine_matrices(canvases: Canvases, values: Floats, image_sizes: Floats) -> Matrix:
    """Return the maps (S, 3, 3) from canvas to output, all in pixels.

    The centre of the canvas is mapped to the centre of the output, moved by the shift. Order:
    centre, perspective, rotation and scale, shear, translation
    (docs/recipe_sources.md#augmentation). Ours: perspective is limited so that the horizon stays
    outside the canvas, and everything is moved by half a pixel or less to put the scene's corner on
    whole pixels, where most tiles need no warp.
    """
    sides = np.array(canvases.sides, np.float64)
    depth = (np.abs(values[:, 4]) + np.abs(values[:, 5])) * sides / 2
    limit = np.ones(len(depth))
    np.divide(MAX_PERSPECTIVE_DEPTH, depth, out=limit, where=depth > MAX_PERSPECTIVE_DEPTH)
    linear = _linear(values)
    perspective = values[:, 4:6] * limit[:, None]
    shift = values[:, 6:8]
    matrices = _matrices(linear, perspective, shift, sides, image_sizes)
    points = np.array(canvases.corners, np.float64)[:, None]
    landing = map_all(points, matrices)[:, 0]
    shift = shift + (np.round(landing) - landing) / image_sizes[:, None]
    return _matrices(linear, perspective, shift, sides, image_sizes)


def _linear(values: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return rotation and shear: cosine and sine with the zoom, tangents of the shears.

    Numpy's own functions differ from those of `math` in the last bit.
    """
    zooms = 1 + values[:, 1]
    angles = [math.radians(each) for each in values[:, 0].tolist()]
    shears = values[:, 2:4].tolist()
    across = zooms * [math.cos(angle) for angle in angles]
    along = zooms * [math.sin(angle) for angle in angles]
    shear_x, shear_y = (
        np.array([math.tan(math.radians(pair[axis])) for pair in shears]) for axis in (0, 1)
    )
    return across, along, shear_x, shear_y


def _matrices(
    linear: tuple[Floats, Floats, Floats, Floats],
    perspective: Floats,
    shift: Floats,
    sides: Floats,
    image_sizes: Floats,
) -> Matrix:
    across, along, shear_x, shear_y = linear
    depth_x, depth_y = perspective.T
    move_x, move_y = ((0.5 + shift) * image_sizes[:, None]).T
    matrices = np.empty((len(sides), 3, 3))
    matrices[:, 0, 0] = across - shear_x * along + move_x * depth_x
    matrices[:, 0, 1] = along + shear_x * across + move_x * depth_y
    matrices[:, 1, 0] = shear_y * across - along + move_y * depth_x
    matrices[:, 1, 1] = shear_y * along + across + move_y * depth_y
    matrices[:, 2, 0], matrices[:, 2, 1] = depth_x, depth_y
    constants = np.stack((move_x, move_y, np.ones(len(sides))), axis=1)
    middle = (sides / 2)[:, None]
    matrices[:, :, 2] = constants - middle * (matrices[:, :, 0] + matrices[:, :, 1])
    return matrices


def map_points(points: npt.NDArray[np.floating], matrix: Matrix) -> Points:
    """Return points (..., 2) mapped by `matrix`, in front of its horizon."""
    mapped = points @ matrix[:, :2].T + matrix[:, 2]
    return mapped[..., :2] / mapped[..., 2:]


def map_boxes(boxes: FloatArray, matrix: Matrix) -> FloatArray:
    """Return the smallest upright boxes (N, 4) around the mapped corners of `boxes` (N, 4)."""
    corners = map_points(boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2), matrix)
    return np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1).astype(np.float32)


def map_all(points: Points, matrices: Matrix) -> Points:
    """Return points (M, P, 2) mapped by their own of the `matrices` (M, 3, 3)."""
    mapped = points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    return mapped[..., :2] / mapped[..., 2:]


def upright(matrices: Matrix) -> MaskArray:
    """Tell which of the matrices (M, 3, 3) keep rectangles rectangles."""
    moving = matrices[:, [0, 1, 2, 2], [1, 0, 0, 1]]
    return cast(MaskArray, ~moving.any(axis=1))


def tile_regions(table: Rows, sizes: Rows, image_sizes: Floats) -> tuple[Floats, Floats, Floats]:
    """Return where the images of T tiles lie on their canvases: `resized`, `offset` and `region`,
    as in `Tiles`; a region is empty where x2 <= x1 or y2 <= y1.

    Args:
        table: rows of `Canvases.tiles`.
        sizes: (T, 2) height and width of the images.
        image_sizes: (T,) of their scenes.
    """
    resized = fit_sizes(sizes.astype(np.float64), image_sizes)
    offset = table[:, 2:4] - table[:, 4:6] * resized[:, ::-1]
    region = np.empty((len(table), 4))
    np.maximum(offset, table[:, 6:8], out=region[:, :2])
    np.minimum(offset + resized[:, ::-1], table[:, 8:10], out=region[:, 2:])
    return resized, offset, region


def _place_tiles(
    canvases: Canvases, records: RecordTable, matrices: Matrix, image_sizes: Floats
) -> Tiles:
    table = np.array(canvases.tiles, np.int64)
    scene, index = table[:, 0], table[:, 1]
    own_sizes = image_sizes[scene]
    resized, offset, region = tile_regions(table, records.sizes(index), own_sizes)
    corners = map_all(region[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2), matrices[scene])
    ends = np.concatenate((corners.min(axis=1), corners.max(axis=1)), axis=1)
    bounds = np.ceil(ends - 0.5).clip(0, own_sizes[:, None]).astype(np.int64)
    tiles = Tiles(
        scene=scene,
        index=index,
        resized=resized,
        offset=offset,
        region=region,
        matrix=matrices[scene],
        corners=corners,
        bounds=bounds,
    )
    left, top, right, bottom = region.T
    x1, y1, x2, y2 = bounds.T
    seen: MaskArray = (right > left) & (bottom > top) & (x2 > x1) & (y2 > y1)
    return tiles if seen.all() else tiles.part(seen)


def _place_objects(
    tiles: Tiles, records: RecordTable, matrices: Matrix, zooms: Floats, image_sizes: Floats
) -> Objects:
    rows, counts = records.rows(tiles.index)
    boxes, labels, ignore = records.objects(rows)
    scale = tiles.resized / records.sizes(tiles.index)
    factors = scale[:, [1, 0, 1, 0]].astype(np.float32).repeat(counts, axis=0)
    offsets = tiles.offset[:, [0, 1, 0, 1]].astype(np.float32).repeat(counts, axis=0)
    limits = tiles.region.astype(np.float32).repeat(counts, axis=0)
    before = (boxes * factors + offsets).clip(limits[:, [0, 1, 0, 1]], limits[:, [2, 3, 2, 3]])
    scene = tiles.scene.repeat(counts)
    after = _mapped(before, scene, matrices).clip(0, image_sizes[scene, None].astype(np.float32))
    squares = np.array([zoom**2 for zoom in zooms.tolist()], np.float32)
    keep = survivors(before, after, squares[scene])
    ends = np.zeros(len(zooms) + 1, np.int64)
    np.cumsum(np.bincount(scene[keep], minlength=len(zooms)), out=ends[1:])
    return Objects(boxes=after[keep], labels=labels[keep], ignore=ignore[keep], ends=ends)


def _mapped(boxes: FloatArray, scene: Rows, matrices: Matrix) -> FloatArray:
    """Return the smallest upright boxes (N, 4) around the mapped corners of `boxes` (N, 4).

    `scene` (N,), ascending, counts in `matrices`. Where all are upright, two products a side are
    the same numbers as a matrix product.
    """
    straight = upright(matrices)
    if straight.all():
        zoom = matrices[:, [0, 1, 0, 1], [0, 1, 0, 1]][scene]
        ends = boxes * zoom + matrices[:, [0, 1, 0, 1], 2][scene]
        low, high = ends[:, :2], ends[:, 2:]
        sides = (np.minimum(low, high), np.maximum(low, high))
        return cast(FloatArray, np.concatenate(sides, axis=1).astype(np.float32))
    parts = np.searchsorted(scene, np.arange(len(matrices) + 1)).tolist()
    return np.concatenate(
        [
            map_boxes(boxes[start:stop], matrix)
            for matrix, (start, stop) in zip(matrices, pairwise(parts), strict=True)
        ]
    )


def survivors(before: FloatArray, after: FloatArray, zoom_squares: FloatArray | float) -> MaskArray:
    """Return which boxes (N,) to keep after the affine and clipping.

    `before` (N, 4) in canvas pixels, `after` (N, 4) in output pixels, row by row the same boxes;
    zoom_squares (N,) or one for all.
    """
    size_before, size_after = before[:, 2:] - before[:, :2], after[:, 2:] - after[:, :2]
    area_before = size_before[:, 0] * size_before[:, 1] * zoom_squares
    width, height = size_after.T
    shortest = np.minimum(width, height)
    keep: MaskArray = shortest > MIN_SIDE
    keep &= width * height > MIN_AREA_RATIO * area_before
    keep &= np.maximum(width, height) < MAX_ASPECT * shortest
    return keep
