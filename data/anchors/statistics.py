"""Label statistics of a data set: objects per image, per class, and their sizes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from utils.structures.images import LabelArray, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelStatistics:
    """Counts over the labels that are trained on; ignored objects (crowd, difficult) are left out.

    images: all, those without objects too; objects_per_image: the mean, 0 without images;
    class_counts: objects of each class, in order of class index.
    """

    images: int
    objects_per_image: float
    class_counts: tuple[int, ...]


def label_statistics(records: Sequence[Record], num_classes: int) -> LabelStatistics:
    """Count the objects of each class.

    Raises:
        ValueError: a label is not a class index below `num_classes`.
    """
    labels = trained_labels(records)
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"labels from {labels.min()} to {labels.max()}, but there are {num_classes} classes"
        )
    counts = np.bincount(labels, minlength=num_classes)
    return LabelStatistics(
        images=len(records),
        objects_per_image=len(labels) / len(records) if records else 0.0,
        class_counts=tuple(counts.tolist()),
    )


def trained_labels(records: Sequence[Record]) -> LabelArray:
    """Return the class indices (N,) of all objects that are not ignored, in record order."""
    columns = [record.labels[~record.ignore] for record in records]
    return np.concatenate([np.zeros(0, np.int64), *columns]).astype(np.int64)


def trained_sizes_wh(records: Sequence[Record], image_size: int) -> npt.NDArray[np.float64]:
    """Return width and height (N, 2) of all objects that are not ignored, in network pixels.

    The longer side of each image becomes `image_size` pixels, as the letterbox does it in training.
    """
    columns = []
    for record in records:
        boxes = record.boxes[~record.ignore].astype(np.float64)
        scale = image_size / max(record.size)
        columns.append((boxes[:, 2:] - boxes[:, :2]) * scale)
    return np.concatenate([np.zeros((0, 2)), *columns])
