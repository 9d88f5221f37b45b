"""Two boxes on one object: of two classes, or nearly the same box twice."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.doctor.finding import Finding, Place, counted, found
from data.doctor.subject import SplitTable, Subject

NEARLY_EQUAL = 0.9
"""IoU from which two boxes of one class are one object drawn twice."""
SAME_PLACE = 0.95
"""IoU from which two boxes of different classes are one object."""
_MOST_BOXES = 1000
"""In a larger crowd pairs are not looked for."""


def check_overlaps(subject: Subject) -> Iterator[Finding]:
    """Yield pairs of boxes of one image that cover the same place."""
    for table in subject.splits.values():
        twice, two_classes = [], []
        for image, pairs in _equal_boxes(table):
            for one, two in pairs.tolist():
                same = table.labels[one] == table.labels[two]
                place = Place(
                    path=table.paths[image],
                    boxes=(table.box(one), table.box(two)),
                    value=" and ".join(subject.class_names[table.labels[i]] for i in (one, two)),
                )
                (twice if same else two_classes).append(place)
        for code, places in (("box-nearly-twice", twice), ("box-two-classes", two_classes)):
            if places:
                name = Path(places[0].path).name
                message = f"{counted(len(places), 'pair')}, e.g. {places[0].value} in {name}"
                yield found(code, table.name, message, places)


def nearly_twice(
    boxes: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return (N,) which boxes nearly equal an earlier one of their class; boxes are (N, 4)."""
    first, second = np.nonzero(np.triu(_iou(boxes) >= NEARLY_EQUAL, 1))
    is_copy = np.zeros(len(boxes), np.bool_)
    is_copy[second[labels[first] == labels[second]]] = True
    return is_copy


def _equal_boxes(table: SplitTable) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Yield images and pairs (K, 2) of positions in the table; ignored boxes take no part."""
    for image in np.flatnonzero((table.counts > 1) & (table.counts <= _MOST_BOXES)):
        own = np.arange(table.starts[image], table.starts[image + 1])
        own = own[~table.ignore[own]]
        iou = np.triu(_iou(table.boxes[own]), 1)
        labels = table.labels[own]
        needed = np.where(labels[:, None] == labels, NEARLY_EQUAL, SAME_PLACE)
        pairs = np.argwhere(iou >= needed)
        if len(pairs):
            yield int(image), own[pairs]


def _iou(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return (N, N)."""
    corners = boxes.astype(np.float64)
    start = np.maximum(corners[:, None, :2], corners[None, :, :2])
    end = np.minimum(corners[:, None, 2:], corners[None, :, 2:])
    shared = (end - start).clip(min=0).prod(axis=2)
    area = (corners[:, 2:] - corners[:, :2]).prod(axis=1)
    return np.asarray(shared / np.maximum(area[:, None] + area[None] - shared, 1e-12))
