"""Open Images: one CSV with a row an object, corners as shares of the image, classes as codes."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import zip_longest

from data.formats.tool_reader import ToolImage, ToolRow
from data.formats.tools.parsing import NOT_NUMBERS, csv_lines, in_order, read_numbers

_CORNERS = ("XMin", "YMin", "XMax", "YMax")
_NEEDED = ("ImageID", "LabelName", *_CORNERS)


class OpenImages:
    """Groups of objects (IsGroupOf) are neutral, as crowds; codes get the names of classes.csv."""

    title = "Open Images"

    def is_label_file(self, path: str) -> bool:
        """Every CSV may be one; those without boxes give no image."""
        return path.lower().endswith(".csv")

    def is_companion(self, path: str) -> bool:
        """Names of the codes: classes.csv, class-descriptions-boxable.csv."""
        return path.lower().endswith(".csv") and "class" in os.path.basename(path).lower()

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the images of a CSV of boxes; none for one of class names."""
        names = _names(files)
        rows: dict[str, list[ToolRow]] = {}
        for number, entry in _entries(content):
            rows.setdefault(entry["ImageID"], []).append(_row(f"line {number}", entry, names))
        return [
            ToolImage(stated=image, rows=own, is_normalised=True) for image, own in rows.items()
        ]

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the names of the classes that have boxes, in the order of classes.csv."""
        codes: set[str] = set()
        for content in files.values():
            with suppress(ValueError):  # the file becomes a rejected row when it is read
                codes |= {entry["LabelName"] for _, entry in _entries(content)}
        names = _names(files)
        known = [name for code, name in names.items() if code in codes]
        return tuple(dict.fromkeys((*known, *in_order(codes - set(names)))))


def _entries(content: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line number and cells of the objects; none where the columns are not those of boxes."""
    lines = csv_lines(content)
    _, columns = next(lines, (0, []))
    if all(name in columns for name in _NEEDED):
        for number, cells in lines:
            entry = dict(zip_longest(columns, cells[: len(columns)], fillvalue=""))
            if entry["ImageID"]:
                yield number, entry


def _names(files: Mapping[str, bytes]) -> dict[str, str]:
    """Return the names of the codes, from files of two columns: `/m/01g317,Person`."""
    names: dict[str, str] = {}
    for path, content in files.items():
        if "class" not in os.path.basename(path).lower():
            continue
        for _, cells in csv_lines(content):
            if len(cells) == 2 and cells[0] != "LabelName":
                names.setdefault(cells[0].strip(), cells[1].strip())
    return names


def _row(location: str, entry: Mapping[str, str], names: Mapping[str, str]) -> ToolRow:
    value = ",".join(str(entry[name]) for name in _NEEDED)
    numbers = read_numbers(entry[name] for name in _CORNERS)
    if numbers is None:
        return ToolRow(location, value, fault=NOT_NUMBERS)
    x1, y1, x2, y2 = numbers
    name = names.get(entry["LabelName"], entry["LabelName"])
    is_group = (entry.get("IsGroupOf") or "0").strip() == "1"
    return ToolRow(location, value, name, (x1, y1, x2, y2), ignore=is_group)
