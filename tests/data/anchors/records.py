"""Records made up for the tests of this folder."""

import numpy as np

from utils.structures.images import Record


def record(
    sizes_wh: list[tuple[float, float]],
    *,
    size: tuple[int, int] = (640, 640),
    labels: list[int] | None = None,
    ignore: list[bool] | None = None,
) -> Record:
    """A record whose boxes of the given sizes all start at (1, 2); sizes in original pixels."""
    count = len(sizes_wh)
    corner = np.tile(np.array([1.0, 2.0]), (count, 1))
    extent = np.array(sizes_wh, np.float64).reshape(count, 2)
    boxes = np.concatenate((corner, corner + extent), axis=1).astype(np.float32)
    return Record(
        path="image.jpg",
        image_id=0,
        size=size,
        boxes=boxes,
        labels=np.array(labels if labels is not None else [0] * count, np.int64),
        ignore=np.array(ignore if ignore is not None else [False] * count, np.bool_),
        area=extent.prod(axis=1).astype(np.float32),
    )


PUBLISHED = np.array(
    [
        [(10, 13), (16, 30), (33, 23)],
        [(30, 61), (62, 45), (59, 119)],
        [(116, 90), (156, 198), (373, 326)],
    ],
    np.float64,
)
