"""The records of one split: as they are, as a cache entry, and as arrays for loader workers."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Literal, overload

import numpy as np
import numpy.typing as npt

from data.formats.label_report import Decision, LabelReport
from data.index_cache import CacheEntry, hash_parts
from utils.structures.images import FloatArray, LabelArray, MaskArray, Record

SplitName = Literal["train", "val", "test"]
OUTSIDE = "outside"
_COLUMNS = ("boxes", "labels", "ignore", "area")


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """All images of a split that can be used, in the order of their ids, with their labels.

    category_ids[label] is what COCO files call a class: the id in the annotation file (one that
    the file leaves free for a class it lacks), the class index itself in other formats.
    fingerprint is a sha256 of all labels that training uses: file names, sizes,
    boxes and class names; not of pixels, nor of where the data set is.
    """

    name: SplitName
    records: tuple[Record, ...]
    class_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    report: LabelReport
    fingerprint: str


def fingerprint(records: Sequence[Record], class_names: Sequence[str], root: str) -> str:
    """Return the sha256 of the records' content; paths count relative to `root`."""
    parts: list[bytes | str] = list(class_names)
    for record in records:
        parts.append(os.path.relpath(record.path, root).replace(os.sep, "/"))
        parts.append(np.array([record.image_id, *record.size], "<i8").tobytes())
        parts += [record.boxes.astype("<f4").tobytes(), record.labels.astype("<i8").tobytes()]
        parts += [record.ignore.tobytes(), record.area.astype("<f4").tobytes()]
    return hash_parts(parts)


def pack(split: Split, outside: Mapping[str, tuple[int, int]] | None = None) -> CacheEntry:
    """Return the split as arrays over all boxes and all images; `unpack` is the inverse.

    `outside`: size and time of change of images that the labels name in other folders.
    """
    records = split.records
    arrays = {
        column: np.concatenate([getattr(record, column) for record in records])
        for column in _COLUMNS
    }
    arrays["num_boxes"] = np.array([len(record.boxes) for record in records], np.int64)
    arrays["image_ids"] = np.array([record.image_id for record in records], np.int64)
    arrays["sizes"] = np.array([record.size for record in records], np.int64)
    facts = {
        "name": split.name,
        "paths": [record.path for record in records],
        "class_names": split.class_names,
        "category_ids": split.category_ids,
        "report": asdict(split.report),
        "fingerprint": split.fingerprint,
        OUTSIDE: dict(outside or {}),
    }
    return CacheEntry(arrays=arrays, facts=facts)


def unpack_whole(entry: CacheEntry | None) -> Split | None:
    """Return the split that was packed, None for an entry of another program."""
    try:
        return None if entry is None else unpack(entry)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError):
        return None


def unpack(entry: CacheEntry) -> Split:
    """Return the split that was packed; its records share the memory of four arrays."""
    facts = entry.facts
    report = dict(facts["report"])
    decisions = tuple(Decision(**decision) for decision in report.pop("decisions"))
    ends = [0, *np.cumsum(entry.arrays["num_boxes"]).tolist()]
    # numpy.split does the same at several times the cost.
    columns = [
        [array[i:j] for i, j in pairwise(ends)] for array in map(entry.arrays.__getitem__, _COLUMNS)
    ]
    sizes, image_ids = entry.arrays["sizes"].tolist(), entry.arrays["image_ids"].tolist()
    rows = zip(facts["paths"], image_ids, sizes, *columns, strict=True)
    records = tuple(
        Record(
            path=path,
            image_id=image_id,
            size=(size[0], size[1]),
            boxes=boxes,
            labels=labels,
            ignore=ignore,
            area=area,
        )
        for path, image_id, size, boxes, labels, ignore, area in rows
    )
    return Split(
        name=facts["name"],
        records=records,
        class_names=tuple(facts["class_names"]),
        category_ids=tuple(facts["category_ids"]),
        report=LabelReport(decisions=decisions, **report),
        fingerprint=facts["fingerprint"],
    )


class RecordTable(Sequence[Record]):
    """An immutable sequence of records in a few flat arrays; `table[i]` rebuilds one from views.

    A list of Record objects costs each worker its own copy as time goes by (reading an object
    writes its reference count, which copies its memory page) and is slow to hand over where
    processes are spawned. Arrays are shared.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        paths = [record.path.encode("utf-8", "surrogateescape") for record in records]
        self._paths = b"".join(paths)
        self._path_ends = _ends([len(path) for path in paths])
        self._row_ends = _ends([len(record.boxes) for record in records])
        self._image_ids = np.array([record.image_id for record in records], np.int64)
        self._sizes = np.array([record.size for record in records], np.int64).reshape(-1, 2)
        self._depths = np.array([record.depth or 0 for record in records], np.uint8)
        empty = np.zeros(0, np.float32)
        self._boxes = np.concatenate([empty.reshape(0, 4), *(r.boxes for r in records)])
        self._labels = np.concatenate([empty.astype(np.int64), *(r.labels for r in records)])
        self._ignore = np.concatenate([empty.astype(np.bool_), *(r.ignore for r in records)])
        self._area = np.concatenate([empty, *(r.area for r in records)])

    def __len__(self) -> int:
        return len(self._image_ids)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> "list[Record]": ...

    def __getitem__(self, index: int | slice) -> "Record | list[Record]":
        """Return one record, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        index %= len(self)
        path = self._paths[self._path_ends[index] : self._path_ends[index + 1]]
        rows = slice(self._row_ends[index], self._row_ends[index + 1])
        return Record(
            path=path.decode("utf-8", "surrogateescape"),
            image_id=int(self._image_ids[index]),
            size=self.size(index),
            boxes=self._boxes[rows],
            labels=self._labels[rows],
            ignore=self._ignore[rows],
            area=self._area[rows],
            depth=int(self._depths[index]) or None,
        )

    def __iter__(self) -> Iterator[Record]:
        return (self[index] for index in range(len(self)))

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) of image `index` without building its record."""
        height, width = self._sizes[index].tolist()
        return height, width

    def sizes(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return (height, width) of the images at `indices` (M,), (M, 2)."""
        return self._sizes[indices]

    def rows(
        self, indices: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the rows of the objects of the images at `indices` (M,), image by image.

        Returns:
            (N,) for `objects`, and (M,) how many belong to each image.
        """
        starts = self._row_ends[indices]
        counts = self._row_ends[indices + 1] - starts
        skipped = starts - (counts.cumsum() - counts)
        return np.arange(counts.sum()) + skipped.repeat(counts), counts

    def objects(self, rows: npt.NDArray[np.int64]) -> tuple[FloatArray, LabelArray, MaskArray]:
        """Return the boxes (N, 4), labels (N,) and ignore (N,) of `rows` (N,)."""
        return self._boxes[rows], self._labels[rows], self._ignore[rows]


def _ends(lengths: list[int]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *lengths], dtype=np.int64)
