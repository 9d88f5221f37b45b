"""One training sample: its sampled parameters, its composed scenes, and its rendering.

A plan is rendered by the worker that made it (`render`) or by the training device (`device/`);
boxes and labels are part of the plan and do not depend on that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.augment.affine import Affine
from data.augment.batch.geometry import map_boxes, survivors
from data.augment.layout import Layout, Tile
from data.augment.mixup import blend
from data.augment.operation import SampledOp
from data.augment.warp import Placement, place, render_tile
from data.images.letterbox import PAD_COLOUR
from data.images.pixels import ReadRecord
from utils.structures.images import (
    FloatArray,
    ImageArray,
    ImageMeta,
    LabelArray,
    MaskArray,
    Record,
    Sample,
    place_boxes,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """The visible tiles of one layout in a square output of `image_size` pixels.

    boxes (N, 4) float32 xyxy output pixels; labels (N,); ignore (N,). N may be 0.
    """

    image_size: int
    tiles: tuple[tuple[Record, Placement], ...]
    """The image of each tile and where it is visible."""
    boxes: FloatArray
    labels: LabelArray
    ignore: MaskArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplePlan:
    """One sample, square, of `image_size` pixels.

    boxes (N, 4) float32 xyxy pixels of the finished image; labels (N,); ignore (N,). N may be 0.
    """

    image_size: int
    scenes: tuple[Scene, ...]
    """One, or two that are blended."""
    share: float
    """Of the first scene in the blend, 0 to 1."""
    ops: tuple[SampledOp, ...]
    """All pixel operations, in their order; some may not change this sample."""
    boxes: FloatArray
    labels: LabelArray
    ignore: MaskArray
    meta: ImageMeta


def build_plan(
    scenes: tuple[Scene, ...], *, share: float, ops: tuple[SampledOp, ...], meta: ImageMeta
) -> SamplePlan:
    """Return the plan of a sample: the objects of its scenes, those of the first one first, in the
    finished image. Arguments are fields of `SamplePlan`.
    """
    image_size = scenes[0].image_size
    boxes = np.concatenate([scene.boxes for scene in scenes])
    for op in ops:
        boxes = op.move_boxes(boxes, image_size)
    return SamplePlan(
        image_size=image_size,
        scenes=scenes,
        share=share,
        ops=ops,
        boxes=boxes,
        labels=np.concatenate([scene.labels for scene in scenes]),
        ignore=np.concatenate([scene.ignore for scene in scenes]),
        meta=meta,
    )


def compose(layout: Layout, records: Sequence[Record], affine: Affine, image_size: int) -> Scene:
    """Return the visible tiles and boxes in a square of `image_size`.

    Boxes are clipped to their tile, mapped, clipped to the output, and dropped if too little is
    left.

    Args:
        layout: the tiles on their canvas.
        records: all records; a tile's `index` counts in them.
        affine: from canvas to output.
        image_size: side of the square output, pixels.
    """
    matrix = affine.matrix(layout.side, image_size)
    placements = (place(tile, matrix, image_size) for tile in layout.tiles)
    seen = tuple((records[each.tile.index], each) for each in placements if each is not None)
    boxes = (canvas_boxes(each.tile, record) for record, each in seen)
    before = np.concatenate([np.zeros((0, 4), np.float32), *boxes])
    after = map_boxes(before, matrix).clip(0, image_size)
    keep = survivors(before, after, affine.zoom**2)
    labels = [record.labels for record, _ in seen]
    ignore = [record.ignore for record, _ in seen]
    return Scene(
        image_size=image_size,
        tiles=seen,
        boxes=after[keep],
        labels=np.concatenate([np.zeros(0, np.int64), *labels])[keep],
        ignore=np.concatenate([np.zeros(0, np.bool_), *ignore])[keep],
    )


def canvas_boxes(tile: Tile, record: Record) -> FloatArray:
    """Return the record's boxes (N, 4) in canvas pixels, clipped to the tile's region.

    A box outside the region becomes one without area.
    """
    (left, top), (x1, y1, x2, y2) = tile.offset, tile.region
    boxes = place_boxes(record.boxes, scale=tile.scale, offset=(top, left))
    return boxes.clip(
        np.array([x1, y1, x1, y1], np.float32), np.array([x2, y2, x2, y2], np.float32)
    )


def render(plan: SamplePlan, read: ReadRecord) -> Sample:
    """Return the sample that `plan` describes; `read` gives the pixels of a record.

    Raises:
        UserError: an image cannot be read.
    """
    image = render_scene(plan.scenes[0], read)
    for scene in plan.scenes[1:]:
        image = blend(image, render_scene(scene, read), plan.share)
    for op in plan.ops:
        image = op.apply(image)
    return Sample(
        image=image,
        boxes=plan.boxes,
        labels=plan.labels,
        ignore=plan.ignore,
        meta=plan.meta,
    )


def render_scene(scene: Scene, read: ReadRecord) -> ImageArray:
    """Return the pixels (S, S, 3) of a scene, grey where no tile is.

    Raises:
        UserError: an image cannot be read.
    """
    output = np.full((scene.image_size, scene.image_size, 3), PAD_COLOUR, np.uint8)
    for record, placement in scene.tiles:
        render_tile(output, read(record), placement)
    return output
