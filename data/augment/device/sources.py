"""Source pixels of a sample that the device renders: the visible window of each tile."""

from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from data.augment.batch.geometry import Matrix
from data.augment.plan import SamplePlan
from data.augment.warp import Placement, shrink
from data.images.pixels import ReadRecord
from utils.structures.images import ImageArray

Pair = npt.NDArray[np.float64]
"""(2,), x and y."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The window of an image that one tile shows.

    Canvas point (x, y) has its colour at `scale` * (x, y) + `offset`, counted from the centre of
    the window's first pixel.
    """

    pixels: ImageArray
    """(h, w, 3), a view of the image; beyond it the image ends, or nothing is visible."""
    scale: Pair
    offset: Pair


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedSample:
    """A plan and, scene by scene and tile by tile, the pixels it needs."""

    plan: SamplePlan
    sources: tuple[tuple[Source, ...], ...]


def gather(plan: SamplePlan, read: ReadRecord) -> PlannedSample:
    """Return the plan with its pixels; `read` gives those of a record.

    Raises:
        UserError: an image cannot be read.
    """
    sources = tuple(
        tuple(_source(read(record), placement) for record, placement in scene.tiles)
        for scene in plan.scenes
    )
    return PlannedSample(plan=plan, sources=sources)


def _source(image: ImageArray, placement: Placement) -> Source:
    image, to_canvas = shrink(image, placement.tile, placement.corners)
    low, high = _canvas_window(placement)
    step, corner = to_canvas[[0, 1], [0, 1]], to_canvas[:2, 2]
    size_wh = np.array([image.shape[1], image.shape[0]])
    # Interpolation at a pixel's centre reads half a pixel back and one and a half ahead.
    first = np.floor((low - corner) / step).astype(np.int64) - 1
    last = np.ceil((high - corner) / step).astype(np.int64) + 1
    left, top = first = first.clip(0, size_wh - 1)
    right, bottom = last.clip(first + 1, size_wh)
    return Source(
        pixels=image[top:bottom, left:right],
        scale=1 / step,
        offset=-corner / step - first - 0.5,
    )


def _canvas_window(placement: Placement) -> tuple[Pair, Pair]:
    """Return the ends of the axis-aligned part of the tile's region that the output shows."""
    region = np.array(placement.tile.region, np.float64)
    x1, y1, x2, y2 = placement.bounds
    corners = np.array([[x1, y1, 1], [x2, y1, 1], [x2, y2, 1], [x1, y2, 1]], np.float64)
    mapped = corners @ output_to_canvas(placement.matrix).T
    if mapped[:, 2].min() <= 0:  # a corner lies beyond the horizon
        return region[:2], region[2:]
    points = mapped[:, :2] / mapped[:, 2:]
    return np.maximum(points.min(axis=0), region[:2]), np.minimum(points.max(axis=0), region[2:])


def output_to_canvas(matrix: Matrix) -> Matrix:
    """Return the inverse of a map (3, 3) from canvas to output.

    Its divisor is above 0 for every output point that shows the canvas.
    """
    return cast(Matrix, np.linalg.inv(matrix))
