"""Supervisely: meta.json with the classes, `ann/IMAGE.json` beside `img/IMAGE` per data set."""

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from data.formats.tool_reader import ToolImage, ToolRow
from data.formats.tools.parsing import around, in_order, objects_in, read_numbers, read_object

NOT_A_REGION = "object is a point or a line: no box"
NO_POINTS = "object has no exterior points"
_NO_REGIONS = ("point", "line", "graph", "polyline")


class Supervisely:
    """Rectangles, polygons and bitmaps become the box around them."""

    title = "Supervisely"

    def is_label_file(self, path: str) -> bool:
        """A JSON in a folder named ann."""
        return path.lower().endswith(".json") and os.path.basename(os.path.dirname(path)) == "ann"

    def is_companion(self, path: str) -> bool:
        """The classes are in meta.json."""
        return os.path.basename(path) == "meta.json"

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the image of the file: its name is the JSON's without `.json`."""
        document = read_object(content)
        objects = document.get("objects")
        if not isinstance(objects, list):
            raise ValueError("it has no list 'objects'")
        size = document.get("size")
        sides = size if isinstance(size, dict) else {}
        numbers = read_numbers((sides.get("height"), sides.get("width")))
        name = os.path.basename(path)[: -len(".json")]
        rows = [
            _row(f"object {number}", item)
            for number, item in enumerate(objects_in(objects), start=1)
        ]
        return [
            ToolImage(
                stated=f"../img/{name}",
                rows=rows,
                stated_size=(int(numbers[0]), int(numbers[1])) if numbers else None,
            )
        ]

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the classes of meta.json in its order, else the titles of all objects, sorted."""
        titles: list[str] = []
        for path, content in files.items():
            with suppress(ValueError):  # the file becomes a rejected row when it is read
                document = read_object(content)
                if os.path.basename(path) == "meta.json":
                    classes = objects_in(document.get("classes"))
                    if names := tuple(str(entry["title"]) for entry in classes if "title" in entry):
                        return names
                objects = objects_in(document.get("objects"))
                titles += [str(item["classTitle"]) for item in objects if "classTitle" in item]
        return in_order(titles)


def _row(location: str, item: Mapping[str, Any]) -> ToolRow:
    name, kind = str(item.get("classTitle")), str(item.get("geometryType"))
    if kind in _NO_REGIONS:
        return ToolRow(location, f"{name} {kind}", fault=NOT_A_REGION)
    if kind == "bitmap":
        return _bitmap(location, name, item.get("bitmap"))
    points = item.get("points")
    exterior = points.get("exterior") if isinstance(points, dict) else None
    box = around(exterior)
    value = f"{name} {kind} {exterior}"
    if box is None:
        return ToolRow(location, value, fault=NO_POINTS)
    return ToolRow(location, value, name, box)


def _bitmap(location: str, name: str, bitmap: Any) -> ToolRow:
    """Return the box of a mask: its origin, and the size of the PNG packed into its text."""
    import base64
    import io
    import zlib

    from PIL import Image

    try:
        origin = read_numbers(bitmap["origin"])
        packed = zlib.decompressobj().decompress(base64.b64decode(bitmap["data"]), 1 << 24)
        with Image.open(io.BytesIO(packed), formats=("PNG",)) as mask:
            width, height = mask.size
    except (TypeError, KeyError, ValueError, zlib.error, OSError):
        origin = None
    if origin is None:
        return ToolRow(location, f"{name} bitmap", fault=NO_POINTS)
    x, y = origin
    return ToolRow(location, f"{name} bitmap", name, (x, y, x + width, y + height))
