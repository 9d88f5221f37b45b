"""One image twice: with its ground truth, and with detections."""

import numpy as np

from data.images.io import read_image
from utils.report.drawing import Picture, draw_boxes, shrink_to, side_by_side
from utils.structures.images import Record
from utils.structures.results import Detections

PICTURE_SIDE = 640


def truth_and_found(
    record: Record, found: Detections, names: tuple[str, ...], threshold: float
) -> Picture:
    """Return ground truth on the left, detections of at least `threshold` on the right.

    Raises:
        ImageError: the image cannot be read any more.
    """
    shown = found.scores >= threshold
    image, scale = shrink_to(read_image(record.path, record.depth), PICTURE_SIDE)
    truth = draw_boxes(image, record.boxes * scale, record.labels, names)
    detected = draw_boxes(
        image,
        found.boxes[shown].numpy().astype(np.float32) * scale,
        found.labels[shown].numpy(),
        names,
        found.scores[shown].numpy().astype(np.float32),
    )
    return side_by_side([truth, detected])
