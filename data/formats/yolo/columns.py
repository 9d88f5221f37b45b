"""Columns behind the five of a YOLO box: a polygon, keypoints, a score, a track id.

Rows of pose data sets (`class cx cy w h x y x y ...`) look like polygons. All rows together
distinguish them: keypoints are within their box, the boxes within the image, and every row has the
same number of columns.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

from data.formats.rows import RawRow, to_float

WRONG_COLUMNS = "wrong number of columns: a box has 5, a polygon 7, 9, 11, ..."
SIXTH_COLUMN = "column 6 taken for a confidence or track id: not used"
SIX_BUT_NO_BOX = "6 columns, but 2 to 5 are no box in the image: class cx cy w h expected first"

_BOX_COLUMNS = 5
_SLACK = 0.01
_MARGIN = 0.1
_NEARLY_ALL, _HARDLY_ANY = 0.95, 0.3


class Keypoints(NamedTuple):
    """Points behind each box and numbers per point, 2 or 3; number 0: polygons instead."""

    number: int
    dimensions: int

    @property
    def columns(self) -> int:
        """Columns of a row with its class and box."""
        return _BOX_COLUMNS + self.number * self.dimensions


POLYGONS = Keypoints(0, 2)


def find_keypoints(texts: Iterable[str]) -> Keypoints | None:
    """Return the layout of rows with more than six columns; None if both fit some of them.

    Args:
        texts: contents of all label files of a split.
    """
    rows = [numbers for text in texts for numbers in _long_rows(text)]
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        return POLYGONS
    extra = widths.pop() - _BOX_COLUMNS
    shares = {
        dimensions: sum(_is_pose(row, dimensions) for row in rows) / len(rows)
        for dimensions in (3, 2)
        if extra % dimensions == 0
    }
    if extra == 4 and sum(map(_is_parallelogram, rows)) > 0.9 * len(rows):
        return POLYGONS
    for dimensions, share in shares.items():
        if share >= _NEARLY_ALL:
            return Keypoints(extra // dimensions, dimensions)
    is_polygon = extra % 2 == 0 and max(shares.values(), default=0.0) <= _HARDLY_ANY
    return POLYGONS if is_polygon or not shares else None


def box_of(
    columns: list[float], keypoints: Keypoints
) -> tuple[tuple[float, float, float, float] | None, str, str]:
    """Return the box of a row without its class as shares of the image, the fault, the repair.

    Args:
        columns: finite numbers behind the class.
        keypoints: layout of rows with more than five columns.
    """
    num_columns = len(columns) + 1
    if num_columns == _BOX_COLUMNS or (keypoints.number and num_columns == keypoints.columns):
        return _from_center(columns[:4]), "", ""
    if num_columns == 6:
        box = _from_center(columns[:4])
        return (box, "", SIXTH_COLUMN) if _is_inside(box) else (None, SIX_BUT_NO_BOX, "")
    if keypoints.number or num_columns < _BOX_COLUMNS or num_columns % 2 == 0:
        return None, WRONG_COLUMNS, ""
    xs, ys = columns[::2], columns[1::2]
    return (min(xs), min(ys), max(xs), max(ys)), "", ""


def reject(location: str, line: str, fault: str) -> RawRow:
    """Return a row that cannot be used."""
    return RawRow(location, line, fault=fault)


def _from_center(columns: list[float]) -> tuple[float, float, float, float]:
    cx, cy, width, height = columns
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def _is_inside(box: tuple[float, float, float, float]) -> bool:
    return min(box) >= -_SLACK and max(box) <= 1 + _SLACK


def _long_rows(text: str) -> Iterable[list[float]]:
    words = text.split()
    if len(words) == _BOX_COLUMNS * (text.count("\n") + (not text.endswith("\n"))):
        return  # boxes alone, as nearly all files
    for line in text.split("\n"):
        columns = line.split()
        if len(columns) > 6:
            try:
                numbers = list(map(to_float, columns))
            except ValueError:
                continue
            if all(map(math.isfinite, numbers)):
                yield numbers


def _is_pose(row: list[float], dimensions: int) -> bool:
    """Tell whether columns 1 to 4 are a box within the image that contains all further points."""
    _, cx, cy, width, height, *rest = row
    points = [rest[start : start + dimensions] for start in range(0, len(rest), dimensions)]
    if dimensions == 3 and not all(point[2] in (0, 1, 2) for point in points):
        return False
    labelled = [point for point in points if any(point)]
    reach_x, reach_y = width * (0.5 + _MARGIN), height * (0.5 + _MARGIN)
    return _is_inside(_from_center([cx, cy, width, height])) and all(
        abs(point[0] - cx) <= reach_x and abs(point[1] - cy) <= reach_y for point in labelled
    )


def _is_parallelogram(row: list[float]) -> bool:
    _, x1, y1, x2, y2, x3, y3, x4, y4 = row
    return abs(x1 - x2 + x3 - x4) < _SLACK and abs(y1 - y2 + y3 - y4) < _SLACK
