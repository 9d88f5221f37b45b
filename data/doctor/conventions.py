"""Boxes that were written in another convention than the one they are read in.

Decided by what *all* rows of a split have in common, those that were rejected included: a box that
is read as centre and size but gives two corners has a "width" beyond its "centre", always.
"""

import re
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from data.doctor.boxes import place_boxes
from data.doctor.finding import Finding, Place, found
from data.doctor.subject import SplitTable, Subject

FEWEST_ROWS = 20
LEAST_OUTSIDE = 0.05
"""Share of rows that must leave the image as they are read before they are read otherwise."""
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_SLACK = 1e-3
_CHANGED = ("rejected", "repaired")
"""What is done to rows that leave the image: clipped, or left out."""

Rows = npt.NDArray[np.float64]


def check_conventions(subject: Subject) -> Iterator[Finding]:
    """Yield splits whose boxes make more sense in another convention."""
    for table in subject.splits.values():
        yield from _shares(table)
        yield from _one_based(table)
        rows = _stated_rows(table)
        if len(rows) < FEWEST_ROWS:
            continue
        places = [
            Place(path=decision.file, location=decision.location, value=decision.value)
            for decision in table.report.decisions
            if decision.action in _CHANGED and decision.location != "image"
        ]
        x, y, width, height = rows.T
        if _are_corners(x, y, width, height):
            message = f"all {len(rows):,} rows have a width beyond x and a height beyond y"
            yield found("convention-corners", table.name, message, places, count=len(rows))
        elif _are_top_left(x, y, width, height):
            message = (
                f"of {len(rows):,} rows none fits worse that way, and "
                f"{len(places):,} reach outside at the top or left only when read by their centre"
            )
            yield found("convention-top-left", table.name, message, places, count=len(rows))


def _are_corners(x: Rows, y: Rows, width: Rows, height: Rows) -> bool:
    is_inside = (width <= 1 + _SLACK).all() and (height <= 1 + _SLACK).all()
    # Boxes that cover the image are wider than their centre, too, but do not leave it.
    outside = (x + width / 2 > 1 + _SLACK) | (y + height / 2 > 1 + _SLACK)
    is_odd = outside.mean() >= LEAST_OUTSIDE
    return bool(is_inside and is_odd and (width > x).all() and (height > y).all())


def _are_top_left(x: Rows, y: Rows, width: Rows, height: Rows) -> bool:
    before = (x - width / 2 < -_SLACK) | (y - height / 2 < -_SLACK)
    after = (x + width / 2 > 1 + _SLACK) | (y + height / 2 > 1 + _SLACK)
    fits = (x + width <= 1 + _SLACK) & (y + height <= 1 + _SLACK) & (x >= 0) & (y >= 0)
    return bool(fits.all() and before.mean() >= LEAST_OUTSIDE and not after.any())


def _stated_rows(table: SplitTable) -> Rows:
    """Return (R, 4) centre and size in shares of the image, as the rows give them.

    Rows that were rejected or repaired are read from their text: `class cx cy w h`. Other formats
    give none, so that only what stands in YOLO rows is examined. Used boxes that touch the border
    are left out, because they may have been clipped.
    """
    changed = [
        numbers[1:]
        for decision in table.report.decisions
        if decision.action in _CHANGED and decision.location.startswith("line")
        for numbers in [[float(match) for match in _NUMBER.findall(decision.value)]]
        if len(numbers) == 5
    ]
    if not changed:
        return np.zeros((0, 4))
    shares = table.boxes.astype(np.float64) / np.concatenate([table.limits] * 2, axis=1)
    shares = shares[(shares[:, :2] > 0).all(axis=1) & (shares[:, 2:] < 1).all(axis=1)]
    used = np.column_stack([(shares[:, :2] + shares[:, 2:]) / 2, shares[:, 2:] - shares[:, :2]])
    return np.concatenate([used, np.array(changed)])


def _shares(table: SplitTable) -> Iterator[Finding]:
    """All boxes end within the first pixel: shares of the image, read as pixels."""
    if len(table.boxes) and float(table.boxes.max()) <= 1.0 + _SLACK:
        message = f"all {len(table.boxes):,} boxes end within the first pixel"
        places = place_boxes(table, np.arange(len(table.boxes)))
        yield found("convention-shares", table.name, message, places, count=len(table.boxes))


def _one_based(table: SplitTable) -> Iterator[Finding]:
    """Whole numbers; many boxes begin at 1, none at 0, and some end at the very border."""
    if len(table.boxes) < 50 or np.mod(table.boxes, 1).any():
        return
    starts = table.boxes[:, :2]
    at_one, at_border = int((starts == 1).sum()), int((table.boxes[:, 2:] == table.limits).sum())
    if (starts >= 1).all() and at_one >= 5 and at_border >= 5:
        message = (
            f"{at_one:,} boxes begin at 1, none at 0, and {at_border:,} end at the image's border"
        )
        places = place_boxes(table, np.flatnonzero((starts == 1).any(axis=1)))
        yield found("convention-one-based", table.name, message, places, count=at_one)
