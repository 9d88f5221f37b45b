"""A repaired copy of a data set; the original is only read.

What is changed: rows and images that cannot be used are left out, boxes that reach outside are
clipped, a box drawn twice is kept once, a copy of an image is kept once (where splits share one,
the split for evaluation keeps it). Everything that needs a human decision is kept as it is.
"""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.doctor.examine import Diagnosis
from data.doctor.overlaps import nearly_twice
from data.records.dataset_writer import FORMATS, Format, Written, write_dataset
from data.records.split import Split
from utils.structures.images import Record

CHANGES_NAME = "changes.csv"
SHARED = "the same image is in the split for evaluation"
TWICE = "the same image is in this split before"
DOUBLE_BOX = "nearly the same box and class as an earlier one"
_ORDER = {"test": 0, "val": 1, "train": 2}


class Change(NamedTuple):
    """One line of changes.csv."""

    split: str
    file: str
    location: str
    reason: str
    action: str


def write_repaired(
    splits: Sequence[Split], diagnosis: Diagnosis, *, root: Path, wanted: str
) -> tuple[Written, int]:
    """Write the copy and changes.csv; return what was written and the number of changes.

    Args:
        splits: of the data set.
        diagnosis: of the same splits, with the images looked at.
        root: a new folder.
        wanted: format of the copy; yolo where we cannot write that of the original.

    Raises:
        UserError: the folder is not empty.
    """
    to: Format = next((name for name in FORMATS if name == wanted), "yolo")
    changes = [change for split in splits for change in _decided(split)]
    copies = _copies(splits, diagnosis)
    repaired = []
    for split in splits:
        records = []
        for record in split.records:
            reason = copies.get((split.name, record.path))
            if reason:
                changes.append(Change(split.name, record.path, "image", reason, "left out"))
                continue
            records.append(_without_doubles(split.name, record, changes))
        repaired.append(replace(split, records=tuple(records)))
    written = write_dataset(repaired, to=to, root=root)
    _write_changes(root / CHANGES_NAME, changes)
    return written, len(changes)


def _decided(split: Split) -> Iterable[Change]:
    for decision in split.report.decisions:
        if decision.action != "noted":
            yield Change(
                split.name, decision.file, decision.location, decision.reason, decision.action
            )


def _copies(splits: Sequence[Split], diagnosis: Diagnosis) -> dict[tuple[str, str], str]:
    """Return why an image of a split is left out, by split and path."""
    first: dict[bytes, str] = {}
    left_out: dict[tuple[str, str], str] = {}
    for split in sorted(splits, key=lambda one: _ORDER[one.name]):
        for record in split.records:
            scan = diagnosis.subject.scans.get(record.path)
            if scan is None:
                continue
            owner = first.setdefault(scan.digest, f"{split.name} {record.path}")
            if owner != f"{split.name} {record.path}":
                is_here = owner.startswith(f"{split.name} ")
                left_out[split.name, record.path] = TWICE if is_here else SHARED
    return left_out


def _without_doubles(split: str, record: Record, changes: list[Change]) -> Record:
    if len(record.boxes) < 2:
        return record
    is_copy = nearly_twice(record.boxes, record.labels)
    for index in np.flatnonzero(is_copy):
        place = f"box {index + 1}"
        changes.append(Change(split, record.path, place, DOUBLE_BOX, "left out"))
    kept = ~is_copy
    return replace(
        record,
        boxes=record.boxes[kept],
        labels=record.labels[kept],
        ignore=record.ignore[kept],
        area=record.area[kept],
    )


def _write_changes(path: Path, changes: Sequence[Change]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        rows = csv.writer(file)
        rows.writerow(Change._fields)
        rows.writerows(changes)
