"""Draw the visible tiles of a layout into one square output and bring their boxes along."""

from collections.abc import Sequence

import numpy as np

from data.augment.affine import Affine, map_boxes, survivors
from data.augment.layout import Layout, Tile
from data.augment.warp import draw_tile, place
from data.letterbox import PAD_COLOUR
from data.pixels import ReadRecord
from utils.structures.images import FloatArray, ImageMeta, Record, Sample


def compose(
    layout: Layout,
    records: Sequence[Record],
    affine: Affine,
    image_size: int,
    read: ReadRecord,
    meta: ImageMeta,
) -> Sample:
    """Return one sample of `image_size` made of the layout's tiles.

    Only tiles of which something is visible are read. Boxes are clipped to their tile, mapped,
    clipped to the output, and dropped where too little is left.

    Args:
        layout: the tiles on their canvas.
        records: all records; a tile's `index` counts in them.
        affine: the change from canvas to output.
        image_size: side of the square output, pixels.
        read: gives the pixels of a record.
        meta: names the sample.
    """
    matrix = affine.matrix(layout.side, image_size)
    output = np.full((image_size, image_size, 3), PAD_COLOUR, np.uint8)
    visible = []
    for tile in layout.tiles:
        placement = place(tile, matrix, image_size)
        if placement is not None:
            record = records[tile.index]
            draw_tile(output, read(record), placement)
            visible.append((tile, record))
    before = _concatenate([canvas_boxes(tile, record) for tile, record in visible])
    after = map_boxes(before, matrix).clip(0, image_size)
    keep = survivors(before, after, affine.zoom)
    labels = [record.labels for _, record in visible]
    ignore = [record.ignore for _, record in visible]
    return Sample(
        image=output,
        boxes=after[keep],
        labels=np.concatenate([np.zeros(0, np.int64), *labels])[keep],
        ignore=np.concatenate([np.zeros(0, np.bool_), *ignore])[keep],
        meta=meta,
    )


def canvas_boxes(tile: Tile, record: Record) -> FloatArray:
    """Return the record's boxes (N, 4) in canvas pixels, clipped to the tile's region.

    A box outside the region becomes one without area.
    """
    (vertical, horizontal), (left, top) = tile.scale, tile.offset
    x1, y1, x2, y2 = tile.region
    scale = np.array([horizontal, vertical, horizontal, vertical], np.float32)
    boxes = record.boxes * scale + np.array([left, top, left, top], np.float32)
    return boxes.clip(
        np.array([x1, y1, x1, y1], np.float32), np.array([x2, y2, x2, y2], np.float32)
    )


def _concatenate(parts: list[FloatArray]) -> FloatArray:
    return np.concatenate([np.zeros((0, 4), np.float32), *parts])
