"""CreateML, as Roboflow writes it: a list of images with boxes by centre and size in pixels."""

from collections.abc import Mapping
from typing import Any

from data.formats.tool_reader import ToolImage, ToolRow
from data.formats.tools.parsing import NOT_NUMBERS, in_order, objects_in, read_list, read_numbers

_KEYS = ("x", "y", "width", "height")


class CreateML:
    """`[{"image": "x.jpg", "annotations": [{"label": "cat", "coordinates": {...}}]}]`."""

    title = "CreateML"

    def is_label_file(self, path: str) -> bool:
        """Every JSON may be one."""
        return path.lower().endswith(".json")

    def is_companion(self, path: str) -> bool:
        """None is needed."""
        return False

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the images of the list; raises ValueError for another JSON."""
        images = []
        for number, entry in enumerate(read_list(content)):
            name = entry.get("image") or entry.get("imagefilename")
            if not isinstance(name, str):
                raise ValueError(f"entry {number} names no image")
            rows = [_row(f"{name} {i}", one) for i, one in enumerate(_annotations(entry), 1)]
            images.append(ToolImage(stated=name, rows=rows))
        return images

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return all labels, sorted."""
        names: set[str] = set()
        for content in files.values():
            try:
                entries = read_list(content)
            except ValueError:
                continue
            names |= {str(one.get("label")) for entry in entries for one in _annotations(entry)}
        return in_order(names)


def _annotations(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return objects_in(entry.get("annotations") or entry.get("annotation"))


def _row(location: str, annotation: Mapping[str, Any]) -> ToolRow:
    coordinates = annotation.get("coordinates")
    numbers = (
        read_numbers(coordinates.get(key) for key in _KEYS)
        if isinstance(coordinates, dict)
        else None
    )
    if numbers is None:
        return ToolRow(location, annotation, fault=NOT_NUMBERS)
    x, y, width, height = numbers
    box = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return ToolRow(location, annotation, str(annotation.get("label")), box)
