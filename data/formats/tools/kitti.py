"""KITTI: a text per image, rows `Car 0.00 0 -1.57 x1 y1 x2 y2 ...` in pixels."""

import os
from collections.abc import Mapping

from data.formats.files import to_text
from data.formats.tool_reader import ALL_CLASSES, ToolImage, ToolRow
from data.formats.tools.parsing import NOT_NUMBERS, in_order, read_numbers

_NEUTRAL = "DontCare"
_COLUMNS = 8


class Kitti:
    """Regions DontCare are neutral for every class."""

    title = "KITTI"

    def is_label_file(self, path: str) -> bool:
        """A text in a folder of labels, as label_2; calib beside it contains none."""
        folder = os.path.basename(os.path.dirname(path)).lower()
        return path.lower().endswith(".txt") and folder.startswith("label")

    def is_companion(self, path: str) -> bool:
        """None is needed."""
        return False

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the image of the file, which has its name."""
        stem = os.path.splitext(os.path.basename(path))[0]
        return [ToolImage(stated=stem, rows=_rows(content))]

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the names in the files, sorted: KITTI numbers none."""
        rows = (row for content in files.values() for row in _rows(content))
        return in_order(row.class_name for row in rows if not row.fault and row.class_name)


def _rows(content: bytes) -> list[ToolRow]:
    lines = enumerate(to_text(content).split("\n"), start=1)
    return [_row(f"line {number}", line.strip()) for number, line in lines if line.strip()]


def _row(location: str, line: str) -> ToolRow:
    columns = line.split()
    # A class name may contain blanks where another tool wrote the file: numbers are counted from
    # the end of the fourteen that follow it.
    extra = max(0, len(columns) - 16)
    name, numbers = " ".join(columns[: extra + 1]), columns[extra + 1 :]
    corners = read_numbers(numbers[3:7]) if len(numbers) >= _COLUMNS - 1 else None
    if corners is None:
        return ToolRow(location, line, fault=NOT_NUMBERS)
    x1, y1, x2, y2 = corners
    is_neutral = name == _NEUTRAL
    return ToolRow(
        location, line, ALL_CLASSES if is_neutral else name, (x1, y1, x2, y2), ignore=is_neutral
    )
