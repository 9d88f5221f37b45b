"""Compose the square output from the visible tiles of a layout, with their boxes."""

from collections.abc import Sequence

import numpy as np

from data.augment.affine import Affine, map_boxes, survivors
from data.augment.layout import Layout, Tile
from data.augment.plan import Scene
from data.augment.warp import place
from utils.structures.images import FloatArray, Record, place_boxes


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
    keep = survivors(before, after, affine.zoom)
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
