"""The same image more than once: in two splits (leakage) and within one."""

import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from data.doctor.finding import Finding, Place, counted, found
from data.doctor.similar import similar_pairs
from data.doctor.subject import SplitTable, Subject

_AUGMENTED = re.compile(r"^(?P<original>.+)\.rf\.[0-9A-Za-z]{16,}(?:\.[^.]*)?$")
Named = tuple[str, int]
"""A split and the position of an image in it."""


def original_of(path: str) -> str | None:
    """Return the name of the original of an augmented copy `NAME.rf.HASH.jpg`, else None."""
    match = _AUGMENTED.match(os.path.basename(path)) if ".rf." in path else None
    return match["original"] if match else None


def check_names(subject: Subject) -> Iterator[Finding]:
    """Yield what paths alone tell: shared files, copies of one original."""
    tables = list(subject.splits.values())
    for one, two in combinations(tables, 2):
        own = set(one.paths)
        shared = [path for path in two.paths if path in own]
        if shared:
            places = [Place(path=path, other=path) for path in shared]
            message = f"{counted(len(shared), 'file')} of {two.name} are in {one.name}, too"
            yield found("split-shared-files", f"{one.name}, {two.name}", message, places)
        yield from _copies_between(one, two)
    for table in subject.evaluated:
        grouped = _by_original(table)
        copies = sum(len(group) - 1 for group in grouped.values())
        if copies:
            places = [Place(path=g[0], other=g[1]) for g in grouped.values() if len(g) > 1]
            message = f"{counted(copies, 'copy', 'copies')} of {counted(len(places), 'original')}"
            yield found("copies-in-evaluation", table.name, message, places, count=copies)


def _copies_between(one: SplitTable, two: SplitTable) -> Iterator[Finding]:
    originals = _by_original(one)
    pairs = [
        Place(path=originals[name][0], other=group[0])
        for name, group in _by_original(two).items()
        if name in originals and originals[name][0] not in group
    ]
    if pairs:
        message = f"{counted(len(pairs), 'original')} of {two.name} have copies in {one.name}"
        yield found("copies-in-splits", f"{one.name}, {two.name}", message, pairs)


def _by_original(table: SplitTable) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = defaultdict(list)
    for path in table.paths:
        original = original_of(path)
        if original is not None:
            grouped[original].append(path)
    return grouped


def check_copies(subject: Subject) -> Iterator[Finding]:
    """Yield what the bytes and the looks of the images tell."""
    equal = _equal_images(subject)
    pairs = [pair for group in equal for pair in _own_paths(subject, group)]
    yield from _by_splits(subject, pairs, "same-image-in-splits", "same-image-twice")
    yield from _labels_differ(subject, equal)
    yield from _by_splits(
        subject,
        _similar_images(subject, equal),
        "similar-image-in-splits",
        "similar-image-twice",
    )


def _equal_images(subject: Subject) -> list[list[Named]]:
    """Return groups of images whose files have the same bytes, each file once a split."""
    groups: dict[bytes, list[Named]] = defaultdict(list)
    for name, table in subject.splits.items():
        for index, path in enumerate(table.paths):
            if path in subject.scans:
                groups[subject.scans[path].digest].append((name, index))
    return [group for group in groups.values() if len(group) > 1]


def _own_paths(subject: Subject, group: Sequence[Named]) -> Iterator[tuple[Named, Named]]:
    """Pair the first image of a group with each further one that is another file."""
    first = group[0]
    for other in group[1:]:
        if _path(subject, first) != _path(subject, other):
            yield first, other


def _similar_images(
    subject: Subject, equal: Sequence[Sequence[Named]]
) -> list[tuple[Named, Named]]:
    """Return pairs that look alike; of files with the same bytes the first stands for all."""
    further = {member for group in equal for member in group[1:]}
    members = [
        (name, index)
        for name, table in subject.splits.items()
        for index, path in enumerate(table.paths)
        if path in subject.scans and (name, index) not in further
    ]
    thumbnails = [subject.scans[_path(subject, member)].thumbnail for member in members]
    pairs = similar_pairs(np.array(thumbnails, np.uint8).reshape(-1, 16, 16))
    return [(members[one], members[two]) for one, two in pairs.tolist()]


def _by_splits(
    subject: Subject, pairs: Sequence[tuple[Named, Named]], between: str, within: str
) -> Iterator[Finding]:
    """Yield one finding for each two splits, and one for each split in itself."""
    grouped: dict[tuple[str, str], list[tuple[Named, Named]]] = defaultdict(list)
    for one, two in pairs:
        grouped[one[0], two[0]].append((one, two))
    for (first, second), own in grouped.items():
        places = [_pair(subject, one, two) for one, two in own]
        if first == second:
            images = len({member for pair in own for member in pair})
            message = f"{counted(len(own), 'pair')} among {images:,} images"
            yield found(within, first, f"{message}, {_example(places)}", places)
        else:
            images = len({two for _, two in own})
            message = f"{counted(images, 'image')} of {second} {_are(images)} in {first}, too"
            yield found(
                between,
                f"{first}, {second}",
                f"{message}, {_example(places)}",
                places,
                count=images,
            )


def _labels_differ(subject: Subject, equal: Sequence[Sequence[Named]]) -> Iterator[Finding]:
    places = []
    for group in equal:
        rows = {member: _label_rows(subject.splits[member[0]], member[1]) for member in group}
        for other in group[1:]:
            if rows[other] != rows[group[0]]:
                places.append(_pair(subject, group[0], other))
    if places:
        message = f"{counted(len(places), 'pair')} of the same image, {_example(places)}"
        yield found("copies-with-other-labels", "", message, places)


def _label_rows(table: SplitTable, index: int) -> list[tuple[float, ...]]:
    own = slice(table.starts[index], table.starts[index + 1])
    boxes = np.round(table.boxes[own]).tolist()
    return sorted(
        (label, *box) for label, box in zip(table.labels[own].tolist(), boxes, strict=True)
    )


def _pair(subject: Subject, one: Named, two: Named) -> Place:
    return Place(path=_path(subject, one), other=_path(subject, two))


def _path(subject: Subject, member: Named) -> str:
    return subject.splits[member[0]].paths[member[1]]


def _example(places: Sequence[Place]) -> str:
    return f"e.g. {Path(places[0].path).name} and {Path(places[0].other).name}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
