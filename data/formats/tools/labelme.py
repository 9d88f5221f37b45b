"""labelme: a JSON per image with `shapes`, each with a label, a type and points in pixels."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from data.formats.tool_reader import ToolImage, ToolRow
from data.formats.tools.parsing import (
    Box,
    around,
    in_order,
    objects_in,
    read_numbers,
    read_object,
)

NOT_A_REGION = "shape is a point or a line: no box"
NO_POINTS = "shape has no points"
_NO_REGIONS = ("point", "points", "line", "linestrip")


class Labelme:
    """Rectangles, polygons, circles, ellipses and masks become the box around them."""

    title = "labelme"

    def is_label_file(self, path: str) -> bool:
        """Every JSON may be one."""
        return path.lower().endswith(".json")

    def is_companion(self, path: str) -> bool:
        """None is needed."""
        return False

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the image of the file; its name is that of the JSON where none is given."""
        document = read_object(content)
        shapes = document.get("shapes")
        if not isinstance(shapes, list):
            raise ValueError("it has no list 'shapes'")
        stem = path.replace("\\", "/").rpartition("/")[2].rpartition(".")[0]
        size = read_numbers((document.get("imageHeight"), document.get("imageWidth")))
        rows = [
            _row(f"shape {number}", shape)
            for number, shape in enumerate(objects_in(shapes), start=1)
        ]
        return [
            ToolImage(
                stated=str(document.get("imagePath") or stem),
                rows=rows,
                stated_size=(int(size[0]), int(size[1])) if size and min(size) >= 1 else None,
            )
        ]

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the labels of all shapes, sorted: labelme itself numbers none."""
        names = []
        for content in files.values():
            with suppress(ValueError):
                shapes = objects_in(read_object(content).get("shapes"))
                names += [str(shape["label"]) for shape in shapes if "label" in shape]
        return in_order(name for name in names if not name.startswith("__ignore"))


def _row(location: str, shape: Mapping[str, Any]) -> ToolRow:
    kind, points = str(shape.get("shape_type", "polygon")), shape.get("points")
    name = str(shape.get("label"))
    value = f"{name} {kind} {points}"
    if kind in _NO_REGIONS:
        return ToolRow(location, value, fault=NOT_A_REGION)
    box = _circle(points) if kind == "circle" else around(points)
    if box is None:
        return ToolRow(location, value, fault=NO_POINTS)
    if name.startswith("__ignore"):
        return ToolRow(location, value, box=box, ignore=True)
    return ToolRow(location, value, name, box)


def _circle(points: Any) -> Box | None:
    """Return the box around a circle given by its centre and a point on it."""
    if around(points) is None or len(points) != 2:
        return None
    numbers = read_numbers(value for point in points for value in point[:2])
    if numbers is None:
        return None
    x, y, on_x, on_y = numbers
    radius = ((on_x - x) ** 2 + (on_y - y) ** 2) ** 0.5
    return x - radius, y - radius, x + radius, y + radius
