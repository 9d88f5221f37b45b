"""VisDrone-DET: a text per image, rows `x,y,width,height,score,category,truncation,occlusion`."""

import os
from collections.abc import Mapping

from data.formats.files import to_text
from data.formats.tool_reader import ALL_CLASSES, ToolImage, ToolRow
from data.formats.tools.parsing import NOT_NUMBERS, from_corner, read_numbers

CLASS_NAMES = (
    "pedestrian",
    "people",
    "bicycle",
    "car",
    "van",
    "truck",
    "tricycle",
    "awning-tricycle",
    "bus",
    "motor",
)
_IGNORED_REGION, _OTHERS = 0, 11


class VisDrone:
    """Ignored regions (category 0), others (11) and rows with score 0 are neutral."""

    title = "VisDrone"

    def is_label_file(self, path: str) -> bool:
        """A text in a folder named annotations or labels."""
        folder = os.path.basename(os.path.dirname(path)).lower()
        return path.lower().endswith(".txt") and folder.startswith(("annotation", "label"))

    def is_companion(self, path: str) -> bool:
        """None is needed."""
        return False

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the image of the file, which has its name; classes are numbers from 1, as text."""
        stem = os.path.splitext(os.path.basename(path))[0]
        lines = enumerate(to_text(content).split("\n"), start=1)
        rows = [_row(f"line {number}", line.strip()) for number, line in lines if line.strip()]
        return [ToolImage(stated=stem, rows=rows)]

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the ten names of the data set."""
        return CLASS_NAMES


def _row(location: str, line: str) -> ToolRow:
    numbers = read_numbers(line.rstrip(",").replace(",", " ").split())
    if numbers is None or len(numbers) < 6:
        return ToolRow(location, line, fault=NOT_NUMBERS)
    score, category = numbers[4], int(numbers[5])
    box = from_corner(numbers[:4])
    if category in (_IGNORED_REGION, _OTHERS) or score == 0:
        return ToolRow(location, line, ALL_CLASSES, box, ignore=True)
    return ToolRow(location, line, str(category), box)
