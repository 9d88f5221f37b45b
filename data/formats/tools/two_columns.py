"""Lists of two columns, `image labels`, as DeepPCB has them; label rows `x1 y1 x2 y2 class`."""

import os
from collections.abc import Mapping

from configs.reading.stated_paths import FileIndex, portable
from data.formats.files import to_text
from data.formats.tool_reader import ToolImage, ToolRow
from data.formats.tools.parsing import NOT_NUMBERS, in_order, read_numbers


class TwoColumns:
    """Corners in pixels, separated by blanks or commas; the class is the last column."""

    title = "image and label list"

    def is_label_file(self, path: str) -> bool:
        """Lists are texts."""
        return path.lower().endswith(".txt")

    def is_companion(self, path: str) -> bool:
        """The label files that the list names."""
        return path.lower().endswith(".txt")

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the images that a list pairs with label files.

        Raises:
            ValueError: a line does not contain two names.
        """
        images = []
        index = FileIndex(files)
        for number, line in enumerate(to_text(content).split("\n"), start=1):
            columns = line.split()
            if not columns:
                continue
            if len(columns) != 2:
                raise ValueError(f"line {number} does not have an image and a label file")
            image, labels = map(portable, columns)
            images.append(ToolImage(stated=image, rows=_rows(labels, index, files)))
        return images

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the classes in the label files, as they are written, sorted."""
        rows = (
            _row("", line.strip())
            for content in files.values()
            for line in to_text(content).split("\n")
            if line.strip()
        )
        return in_order(row.class_name for row in rows if not row.fault)


def _rows(stated: str, index: FileIndex, files: Mapping[str, bytes]) -> list[ToolRow]:
    path = index.find(stated)
    if path is None:
        return [ToolRow(stated, "", fault="no such label file")]
    lines = enumerate(to_text(files[path]).split("\n"), start=1)
    name = os.path.basename(path)
    return [_row(f"{name} line {number}", line.strip()) for number, line in lines if line.strip()]


def _row(location: str, line: str) -> ToolRow:
    *corners, name = line.replace(",", " ").split() or [""]
    numbers = read_numbers(corners)
    if numbers is None or len(numbers) != 4:
        return ToolRow(location, line, fault=NOT_NUMBERS)
    x1, y1, x2, y2 = numbers
    return ToolRow(location, line, name, (x1, y1, x2, y2))
