"""The records of one split, and their form in the cache."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from data.formats.label_report import Decision, LabelReport
from data.index_cache import CacheEntry, hash_parts
from utils.structures.images import Record

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
