"""What the checks look at: all splits as flat arrays, and what was seen of the images."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data.doctor.scan import ImageScan
from data.formats.label_report import LabelReport
from data.records.split import Split
from utils.structures.images import FloatArray, LabelArray, MaskArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SplitTable:
    """One split: I images and B boxes of all of them, in the order of the records."""

    name: str
    report: LabelReport
    paths: tuple[str, ...]
    sizes: npt.NDArray[np.int64]
    """(I, 2): height, width in pixels."""
    boxes: FloatArray
    """(B, 4) xyxy pixels of the original image."""
    labels: LabelArray
    """(B,)"""
    ignore: MaskArray
    """(B,)"""
    image: npt.NDArray[np.int64]
    """(B,): position of the image of each box."""
    starts: npt.NDArray[np.int64]
    """(I + 1,): boxes of image i are starts[i]:starts[i + 1]."""

    @property
    def widths(self) -> FloatArray:
        """(B,) pixels."""
        return np.asarray(self.boxes[:, 2] - self.boxes[:, 0], np.float32)

    @property
    def heights(self) -> FloatArray:
        """(B,) pixels."""
        return np.asarray(self.boxes[:, 3] - self.boxes[:, 1], np.float32)

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """(I,): boxes of each image."""
        return np.diff(self.starts)

    @property
    def limits(self) -> FloatArray:
        """(B, 2): width and height of the image of each box."""
        return self.sizes[self.image][:, ::-1].astype(np.float32)

    def scale_to(self, image_size: int) -> FloatArray:
        """(B,): input pixels per original pixel where the long side becomes `image_size`."""
        longest = self.sizes.max(axis=1).clip(min=1)
        return np.asarray(image_size / longest, np.float32)[self.image]

    def box(self, index: int) -> tuple[float, float, float, float]:
        """Return one box as plain numbers."""
        x1, y1, x2, y2 = self.boxes[index].tolist()
        return x1, y1, x2, y2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """The whole data set."""

    splits: Mapping[str, SplitTable]
    class_names: tuple[str, ...]
    image_size: int
    """Long side of the network's input in pixels."""
    max_rejected: float = 0.01
    scans: Mapping[str, ImageScan]
    """By path; empty where no pixels were looked at."""

    @property
    def evaluated(self) -> list[SplitTable]:
        """The splits that scores are measured on."""
        return [table for name, table in self.splits.items() if name != "train"]


def tabulate(split: Split) -> SplitTable:
    """Return the records of a split as arrays."""
    records = split.records
    counts = np.array([len(record.boxes) for record in records], np.int64)
    none = np.zeros((0, 4), np.float32)
    return SplitTable(
        name=split.name,
        report=split.report,
        paths=tuple(record.path for record in records),
        sizes=np.array([record.size for record in records], np.int64).reshape(-1, 2),
        boxes=np.concatenate([none, *(record.boxes for record in records)]),
        labels=np.concatenate([np.zeros(0, np.int64), *(record.labels for record in records)]),
        ignore=np.concatenate([np.zeros(0, np.bool_), *(record.ignore for record in records)]),
        image=np.repeat(np.arange(len(records)), counts),
        starts=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
    )


def class_counts(table: SplitTable, num_classes: int) -> npt.NDArray[np.int64]:
    """Return (C,): boxes of each class, ignored ones left out."""
    return np.bincount(table.labels[~table.ignore], minlength=num_classes)
