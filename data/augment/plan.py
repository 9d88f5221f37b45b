"""The plan of a batch and its pixels: each tile is drawn by one resize or warp into its image.

A plan is rendered by the worker that made it (`render`) or by the training device (`device/`);
boxes and labels are part of the plan and do not depend on that.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt

from data.augment.layout import Floats, Matrix, Objects, Points, Rows, Tiles, upright
from data.augment.mixup import blend
from data.augment.operation import SampledOp
from data.augment.warp import LARGEST_ZOOM, average_blocks, find_spans, warp, warp_outlined
from data.images.letterbox import PAD_COLOUR
from utils.structures.images import (
    FloatArray,
    ImageArray,
    ImageMeta,
    LabelArray,
    MaskArray,
    Sample,
)

ReadIndex = Callable[[int], ImageArray]
"""Pixels (h, w, 3) uint8 RGB of a record, by its index."""
AHEAD_BYTES = 4 << 20
"""Pixels that are read in one go: half the time of reading between images, which take the place of
all else in the processor's caches; more would be memory of each worker."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """What a batch knows of one sample beside its scenes."""

    scenes: tuple[int, int]
    """The first of its scenes and the one after its last: one, or two that are blended."""
    share: float
    """Of the first scene in the blend, 0 to 1."""
    ops: tuple[SampledOp, ...]
    """All pixel operations, in their order; some may not change this sample."""
    meta: ImageMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleObjects:
    """The objects of one finished image: boxes (N, 4) float32 xyxy pixels; labels, ignore (N,)."""

    boxes: FloatArray
    labels: LabelArray
    ignore: MaskArray


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """The sampled parameters of a batch of square samples of `image_size` pixels."""

    image_size: int
    tiles: Tiles
    objects: Objects
    """Of all scenes, before the pixel operations."""
    rows: Sequence[SampleRow]

    def sample_objects(self) -> Iterator[SampleObjects]:
        """Yield the objects of each sample, those of its first scene first."""
        for row in self.rows:
            start, end = self.objects.ends[list(row.scenes)]
            boxes = self.objects.boxes[start:end]
            for op in row.ops:
                boxes = op.move_boxes(boxes, self.image_size)
            yield SampleObjects(
                boxes=boxes,
                labels=self.objects.labels[start:end],
                ignore=self.objects.ignore[start:end],
            )

    def render(self, read: ReadIndex, sizes: Floats) -> list[Sample]:
        """Return the samples.

        Args:
            read: gives the pixels of a record by its index.
            sizes: (T, 2) height and width that `read` is expected to give for each tile; others
                take longer.

        The images lie one after the other in one array, so that a batch of them needs no copy.

        Raises:
            UserError: an image cannot be read.
        """
        size = self.image_size
        images = np.empty((len(self.rows), size, size, 3), np.uint8)
        drawer = SceneDrawer(self.tiles, sizes, read)
        samples = []
        # One sample at a time: its image stays in the processor's cache until it is finished.
        for row, image, objects in zip(self.rows, images, self.sample_objects(), strict=True):
            _draw_sample(row, drawer, image)
            samples.append(
                Sample(
                    image=image,
                    boxes=objects.boxes,
                    labels=objects.labels,
                    ignore=objects.ignore,
                    meta=row.meta,
                )
            )
        return samples


def _draw_sample(row: SampleRow, drawer: "SceneDrawer", image: ImageArray) -> None:
    first, stop = row.scenes
    drawer.draw(first, image)
    changed = image
    for scene in range(first + 1, stop):
        second = np.empty_like(image)
        drawer.draw(scene, second)
        changed = blend(changed, second, row.share)
    for op in row.ops:
        changed = op.apply(changed)
    if changed is not image:
        image[:] = changed


class SceneDrawer:
    """Draws the scenes of a batch one after the other, reading a few images ahead."""

    def __init__(self, tiles: Tiles, sizes: Floats, read: ReadIndex) -> None:
        """Plan the drawing of all tiles; nothing is read.

        Args:
            tiles: T of all scenes, scene by scene.
            sizes: (T, 2) height and width that `read` is expected to give; a tile whose image has
                another size is planned again.
            read: gives the pixels (H, W, 3) of a record by its index.
        """
        self._tiles = tiles
        self._read = read
        self._plans = _plan_tiles(tiles, sizes)
        self._place = 0
        self._images: deque[ImageArray] = deque()

    def draw(self, scene: int, output: ImageArray) -> None:
        """Fill `output` (S, S, 3) uint8 by a scene, grey where no tile is; scenes ascend.

        Raises:
            UserError: an image cannot be read.
        """
        output.fill(PAD_COLOUR)
        while self._place < len(self._plans) and self._plans[self._place].scene == scene:
            plan, row = self._plans[self._place], slice(self._place, self._place + 1)
            image = self._next_image()
            if image.shape[0] != plan.height or image.shape[1] != plan.width:
                size = np.array([image.shape[:2]], np.float64)
                plan = _plan_tiles(self._tiles.part(row), size)[0]
            _draw_tile(image, plan, output)
            self._place += 1

    def _next_image(self) -> ImageArray:
        if not self._images:
            room = AHEAD_BYTES
            for plan in islice(self._plans, self._place, None):
                room -= int(3 * plan.height * plan.width)
                if self._images and room < 0:
                    break
                self._images.append(self._read(plan.record))
        return self._images.popleft()


class _TilePlan(NamedTuple):
    """How a tile is drawn from an image of `height` x `width` pixels."""

    matrix: Matrix
    """(3, 3) from (averaged) pixels of the image to the bounds."""
    corners: Points
    """(4, 2) of the region in output pixels."""
    scene: int
    record: int
    """Its index."""
    height: float
    width: float
    bounds: tuple[int, int, int, int]
    block: int
    """Side of the blocks of pixels that are averaged first, 1 where none are."""
    is_upright: bool
    is_exact: bool
    """Whether `resize` is exact enough."""
    resize: Sequence[int]
    """A row of what `_resizes` returns."""


def _plan_tiles(tiles: Tiles, sizes: Floats) -> list[_TilePlan]:
    """Return how each tile is drawn from an image of `sizes` (T, 2)."""
    if not len(tiles):
        return []
    blocks = block_sides(tiles, sizes)
    matrices = _to_region(tiles, sizes, blocks)
    is_upright = upright(tiles.matrix)
    resizes, is_exact = _resizes(tiles, matrices, np.floor(sizes / blocks[:, None]), is_upright)
    columns = (
        *(tiles.scene, tiles.index, sizes[:, 0], sizes[:, 1], tiles.bounds),
        *(blocks, is_upright, is_exact, resizes),
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    return [
        _TilePlan(matrix, corners, *row)
        for matrix, corners, row in zip(matrices, tiles.corners, rows, strict=True)
    ]


def _draw_tile(image: ImageArray, plan: _TilePlan, output: ImageArray) -> None:
    """Draw a tile on the square `output` (S, S, 3), in place; other pixels stay as they are."""
    x1, y1, x2, y2 = plan.bounds
    target = output[y1:y2, x1:x2]
    source = image if plan.block < 2 else average_blocks(image, plan.block)
    if plan.is_exact:
        _resize_into(target, source, plan.resize)
    elif plan.is_upright:
        warp(source, plan.matrix, target)
    else:
        warp_outlined(source, plan.matrix, target, plan.corners - (x1, y1))


def block_sides(tiles: Tiles, sizes: Floats) -> Rows:
    """Return the sides (T,) of the blocks of pixels that are averaged first, 1 where none are.

    A bilinear warp reads 2 x 2 pixels, so below half size it aliases. Blocks of whole pixels are
    several times faster than a general area resize; the rest of the last block, less than an output
    pixel, is filled by the border rule. Areas are summed up as by OpenCV's `contourArea`.

    Args:
        tiles: T of them.
        sizes: (T, 2) height and width of the images that they are drawn from.
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
    limited: Rows = np.minimum(blocks, sizes.min(axis=1)).clip(1).astype(np.int64)
    return limited


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
    y1, y2, x1, x2, above, below, before, after, width, height, top, left = resize
    window = image[y1:y2, x1:x2]
    if above or below or before or after:
        # Only one pixel of a border is read, but the window needs its full size.
        bordered = cv2.copyMakeBorder(window, above, below, before, after, cv2.BORDER_REPLICATE)
        window = cast(ImageArray, bordered)
    stretched = cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR)
    target[:] = stretched[top : top + target.shape[0], left : left + target.shape[1]]
