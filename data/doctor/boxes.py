"""Boxes that are odd one by one, and images with many of them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from data.doctor.finding import Finding, Place, counted, found
from data.doctor.subject import SplitTable, Subject

SMALL = 8.0
"""Pixels at the input size: one cell of the finest usual stride."""
MOSTLY = 0.25
SLIVER = 2.0
ELONGATED = 20.0
WHOLE_IMAGE = 0.98
"""Share of the image's width and of its height."""
MOSTLY_WHOLE = 0.1
CROWD, GREAT_CROWD = 100, 300
REPEATED_IMAGES, REPEATED_SHARE = 10, 0.05
"""The same box of a class in so many images, and in this share of all."""
ONE_PART = 0.75
SIZES_DIFFER = 2.0
_FEWEST = 50
_MIXERS = np.array([1_000_003, 73_856_093, 19_349_663, 83_492_791, 2_654_435_761], np.int64)


def check_boxes(subject: Subject) -> Iterator[Finding]:
    """Yield findings on single boxes and on crowds."""
    for table in subject.splits.values():
        if not len(table.boxes):
            continue
        yield from _small(subject, table)
        yield from _shapes(table)
        yield from _repeated(subject, table)
        yield from _in_one_part(table)
        yield from _crowds(table)
    yield from _sizes_differ(subject)


def place_boxes(table: SplitTable, indices: npt.NDArray[np.int64], most: int = 200) -> list[Place]:
    """Return a place for each image among the first boxes, with its boxes."""
    grouped: dict[int, list[int]] = {}
    for index in indices[:most].tolist():
        grouped.setdefault(int(table.image[index]), []).append(index)
    return [
        Place(path=table.paths[image], boxes=tuple(table.box(index) for index in own))
        for image, own in grouped.items()
    ]


def _small(subject: Subject, table: SplitTable) -> Iterator[Finding]:
    side = np.sqrt(table.widths * table.heights) * table.scale_to(subject.image_size)
    small = np.flatnonzero((side < SMALL) & ~table.ignore)
    if len(small):
        share = len(small) / len(side)
        code = "box-mostly-small" if share > MOSTLY else "box-small"
        message = (
            f"{len(small):,} of {len(side):,} boxes ({share:.1%}) at {subject.image_size} px, "
            f"smallest {side[small].min():.1f} px"
        )
        smallest_first = small[np.argsort(side[small], kind="stable")]
        yield found(code, table.name, message, place_boxes(table, smallest_first), count=len(small))


def _shapes(table: SplitTable) -> Iterator[Finding]:
    short = np.minimum(table.widths, table.heights)
    long = np.maximum(table.widths, table.heights)
    shares = np.stack([table.widths, table.heights], axis=1) / table.limits
    sliver = short < SLIVER
    whole = (shares >= WHOLE_IMAGE).all(axis=1)
    is_usual = whole.mean() > MOSTLY_WHOLE
    kinds = {
        "box-sliver": sliver,
        "box-elongated": (long > ELONGATED * short) & ~sliver,
        "box-mostly-whole-image" if is_usual else "box-whole-image": whole,
    }
    for code, chosen in kinds.items():
        indices = np.flatnonzero(chosen & ~table.ignore)
        if len(indices):
            first = indices[0]
            message = (
                f"{len(indices):,} of {len(short):,} boxes, e.g. {table.widths[first]:.1f} x "
                f"{table.heights[first]:.1f} px in {Path(table.paths[table.image[first]]).name}"
            )
            places = place_boxes(table, indices)
            yield found(code, table.name, message, places, count=len(indices))


def _repeated(subject: Subject, table: SplitTable) -> Iterator[Finding]:
    """The same box of the same class, to the pixel, in many images of one size.

    A box that covers the image is the same everywhere for a reason of its own.
    """
    shares = np.stack([table.widths, table.heights], axis=1) / table.limits
    chosen = np.flatnonzero((shares < WHOLE_IMAGE).any(axis=1))
    tenths = np.round(table.boxes[chosen] * 10).astype(np.int64)
    # One number for each row: sorting rows as such takes ten times as long.
    keys = np.column_stack([table.labels[chosen], tenths]) @ _MIXERS
    order = np.argsort(keys, kind="stable")
    cuts = np.flatnonzero(np.diff(keys[order])) + 1
    starts, ends = np.concatenate([[0], cuts]), np.concatenate([cuts, [len(order)]])
    least = max(REPEATED_IMAGES, REPEATED_SHARE * len(table.paths))
    for group in np.flatnonzero(ends - starts >= least):
        members = chosen[order[starts[group] : ends[group]]]
        images = len(np.unique(table.image[members]))
        if images >= least:
            name = subject.class_names[table.labels[members[0]]]
            message = f"one box of {name} in {images:,} of {len(table.paths):,} images"
            yield found(
                "box-repeated", table.name, message, place_boxes(table, members), count=images
            )


def _in_one_part(table: SplitTable) -> Iterator[Finding]:
    """No box reaches beyond three quarters of the image, neither across nor down."""
    images = int((table.counts > 0).sum())
    if len(table.boxes) < _FEWEST or images < 20:
        return
    right, bottom = (table.boxes[:, 2:] / table.limits).max(axis=0).tolist()
    if right < ONE_PART and bottom < ONE_PART:
        message = (
            f"{len(table.boxes):,} boxes of {images:,} images end before {right:.0%} of the width "
            f"and {bottom:.0%} of the height"
        )
        places = place_boxes(table, np.arange(len(table.boxes)))
        yield found("boxes-in-one-part", table.name, message, places, count=len(table.boxes))


def _crowds(table: SplitTable) -> Iterator[Finding]:
    counts = table.counts
    for code, least, below in (
        ("crowded", CROWD, GREAT_CROWD),
        ("over-crowded", GREAT_CROWD, np.inf),
    ):
        chosen = np.flatnonzero((counts > least) & (counts <= below))
        if len(chosen):
            places = [
                Place(path=table.paths[index], value=f"{counts[index]} objects") for index in chosen
            ]
            message = f"{counted(len(chosen), 'image')}, up to {counts[chosen].max():,} objects"
            yield found(code, table.name, message, places)


def _sizes_differ(subject: Subject) -> Iterator[Finding]:
    train = subject.splits.get("train")
    if train is None or len(train.boxes) < _FEWEST:
        return
    median = _median_side(train, subject.image_size)
    for table in subject.evaluated:
        if len(table.boxes) < _FEWEST or int((table.counts > 0).sum()) < 20:
            continue
        other = _median_side(table, subject.image_size)
        if not 1 / SIZES_DIFFER < other / median < SIZES_DIFFER:
            message = (
                f"at {subject.image_size} px half of the objects are below {median:.0f} px in "
                f"{train.name} and below {other:.0f} px in {table.name}"
            )
            yield found("object-sizes-differ", f"{train.name}, {table.name}", message, count=1)


def _median_side(table: SplitTable, image_size: int) -> float:
    side = np.sqrt(table.widths * table.heights) * table.scale_to(image_size)
    return max(float(np.median(side)), 1e-6)
