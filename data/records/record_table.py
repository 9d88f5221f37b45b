"""Records of a split in a few flat arrays, the form for loader workers.

A list of Record objects costs each worker its own copy as time goes by (reading an object writes
its reference count, which copies its memory page) and is slow to hand over where processes are
spawned. Arrays are shared.
"""

from collections.abc import Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

from utils.structures.images import FloatArray, LabelArray, MaskArray, Record


class RecordTable(Sequence[Record]):
    """An immutable sequence of records; `table[i]` rebuilds one, its arrays are views."""

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
