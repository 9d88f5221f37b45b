"""Ground truth and detections of a data set as columns, in the numbers of a COCO JSON.

Boxes are float64 (x, y, width, height) pixels of the original image, rounded once, here, to
`BOX_DECIMALS`; scores to `SCORE_DECIMALS`. So results computed in memory and results computed from
a saved file are equal to the last bit. For ground truth the rounding also undoes float32: a COCO
box with two decimals gets its decimals back.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from utils.structures.exact import in_float64
from utils.structures.images import Record
from utils.structures.results import Detections

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Booleans = npt.NDArray[np.bool_]

BOX_DECIMALS = 3
"""A thousandth of a pixel."""
SCORE_DECIMALS = 6
"""Fine enough not to make ties among float32 scores that differ by more than noise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruthRows:
    """Ground truth of a split, images in ascending order of their id.

    image_index (N,) position of the image; boxes (N, 4) xywh; labels (N,); ignore (N,); area (N,)
    square pixels. N may be 0, and so may the number of images.
    """

    num_images: int
    num_classes: int
    image_index: Integers
    boxes: Floats
    labels: Integers
    ignore: Booleans
    area: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionRows:
    """Detections of a split, images by ascending id, within one image in the given order.

    image_index (K,) position of the image; boxes (K, 4) xywh; scores (K,); labels (K,).
    """

    image_index: Integers
    boxes: Floats
    scores: Floats
    labels: Integers

    def __len__(self) -> int:
        return len(self.scores)

    def best_first(self) -> "DetectionRows":
        """Return the rows sorted by image, then by falling score; equal scores keep their order."""
        step = np.diff(self.image_index)
        if np.all((step > 0) | ((step == 0) & (self.scores[1:] <= self.scores[:-1]))):
            return self  # as suppression leaves them
        order = np.lexsort((-self.scores, self.image_index))
        return self.select(order)

    def select(self, rows: npt.NDArray[Any]) -> "DetectionRows":
        """Return the rows named by an index or mask array."""
        return DetectionRows(
            image_index=self.image_index[rows],
            boxes=self.boxes[rows],
            scores=self.scores[rows],
            labels=self.labels[rows],
        )


def xyxy_to_rounded_xywh(boxes: npt.NDArray[np.float32]) -> Floats:
    """Return (N, 4) xyxy boxes as float64 x, y, width, height with `BOX_DECIMALS` decimals."""
    exact = boxes.astype(np.float64)
    exact[:, 2:] -= exact[:, :2]
    return np.round(exact, BOX_DECIMALS)


def truth_rows(records: Sequence[Record], *, num_classes: int) -> TruthRows:
    """Return the ground truth of `records`, which must be in ascending order of `image_id`."""
    counts = [len(record.labels) for record in records]
    boxes = np.concatenate([np.zeros((0, 4), np.float32), *(record.boxes for record in records)])
    return TruthRows(
        num_images=len(records),
        num_classes=num_classes,
        image_index=np.repeat(np.arange(len(records)), counts),
        boxes=xyxy_to_rounded_xywh(boxes),
        labels=_joined([record.labels for record in records], np.int64),
        ignore=_joined([record.ignore for record in records], np.bool_),
        area=_joined([record.area for record in records], np.float64),
    )


def detection_rows(image_index: int, detections: Detections) -> DetectionRows:
    """Return the detections of one image; boxes in the original frame, on any device."""
    boxes = xyxy_to_rounded_xywh(detections.boxes.detach().float().cpu().numpy())
    scores = in_float64(detections.scores.detach()).cpu().numpy()
    return DetectionRows(
        image_index=np.full(len(boxes), image_index, np.int64),
        boxes=boxes,
        scores=np.round(scores, SCORE_DECIMALS),
        labels=detections.labels.detach().cpu().numpy().astype(np.int64),
    )


def batch_rows(image_indices: Sequence[int], detections: Sequence[Detections]) -> DetectionRows:
    """Return `detection_rows` of several images, all on one device, one after the other."""
    if not detections:
        return join_detections([])
    together = Detections(
        boxes=torch.cat([found.boxes for found in detections]),
        scores=torch.cat([found.scores for found in detections]),
        labels=torch.cat([found.labels for found in detections]),
    )
    counts = [len(found) for found in detections]
    images = np.repeat(np.array(image_indices, np.int64), counts)
    return replace(detection_rows(0, together), image_index=images)


def split_rows(rows: DetectionRows, counts: Sequence[int]) -> list[DetectionRows]:
    """Return consecutive parts of `rows` with so many rows each; views, no copies."""
    ends = np.cumsum(counts, dtype=np.int64).tolist()
    return [
        DetectionRows(
            image_index=rows.image_index[start:end],
            boxes=rows.boxes[start:end],
            scores=rows.scores[start:end],
            labels=rows.labels[start:end],
        )
        for start, end in zip([0, *ends], ends, strict=False)
    ]


def join_detections(parts: Sequence[DetectionRows]) -> DetectionRows:
    """Return the rows of all parts one after the other; no parts give no rows."""
    return DetectionRows(
        image_index=_joined([part.image_index for part in parts], np.int64),
        boxes=np.concatenate([np.zeros((0, 4)), *(part.boxes for part in parts)]),
        scores=_joined([part.scores for part in parts], np.float64),
        labels=_joined([part.labels for part in parts], np.int64),
    )


def _joined(columns: Sequence[npt.NDArray[Any]], dtype: type[Any]) -> npt.NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype), *columns]).astype(dtype)
