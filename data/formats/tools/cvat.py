"""CVAT for images 1.1: one annotations.xml with an element per image and a shape per object."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping, Sequence

from data.formats.tool_reader import ToolImage, ToolRow
from data.formats.tools.parsing import NOT_NUMBERS, Box, around, from_corner, in_order, read_numbers
from data.formats.voc import parse_xml

NOT_A_REGION = "shape is not a region: no box"
_NO_REGIONS = ("polyline", "points", "cuboid", "skeleton", "tag")


class Cvat:
    """Boxes, polygons, ellipses and masks become the upright box around them."""

    title = "CVAT for images"

    def is_label_file(self, path: str) -> bool:
        """Every XML may be one."""
        return path.lower().endswith(".xml")

    def is_companion(self, path: str) -> bool:
        """None is needed."""
        return False

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the images of the file.

        Raises:
            ValueError: it is another XML, or has the tracks of a video, which name no image.
        """
        root = _parsed(content)
        if root.find("track") is not None:
            raise ValueError("tracks of a video: export it as 'CVAT for images 1.1'")
        return [_image(element) for element in root.iterfind("image")]

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the labels of the task in its order, then those that only shapes have."""
        stated: list[str] = []
        used: set[str] = set()
        for content in files.values():
            try:
                root = _parsed(content)
            except ValueError:
                continue
            stated += [name.text or "" for name in root.iterfind("meta//labels/label/name")]
            used |= {_label(shape) for image in root.iterfind("image") for shape in image}
            used |= {_label(track) for track in root.iterfind("track")}
        return tuple(dict.fromkeys((*stated, *in_order(used - set(stated)))))


def _parsed(content: bytes) -> ElementTree.Element:
    root = parse_xml(content)
    if isinstance(root, str):
        raise ValueError(root)
    if root.tag != "annotations":
        raise ValueError(f"its root is {root.tag}, not annotations")
    return root


def _image(element: ElementTree.Element) -> ToolImage:
    size = read_numbers((element.get("height"), element.get("width")))
    rows = [_row(f"shape {number}", shape) for number, shape in enumerate(element, start=1)]
    return ToolImage(
        stated=element.get("name", ""),
        rows=[row for row in rows if row is not None],
        stated_size=(int(size[0]), int(size[1])) if size and min(size) >= 1 else None,
    )


def _row(location: str, shape: ElementTree.Element) -> ToolRow | None:
    """Return the row of a shape; None for a tag, which is about the whole image."""
    if shape.tag == "tag":
        return None
    name = _label(shape)
    value = f"{name} {shape.tag} {dict(shape.attrib)}"
    if shape.tag in _NO_REGIONS:
        return ToolRow(location, value, fault=NOT_A_REGION)
    box = _box(shape)
    if box is None:
        return ToolRow(location, value, fault=NOT_NUMBERS)
    return ToolRow(location, value, name, box)


def _label(shape: ElementTree.Element) -> str:
    return shape.get("label", "")


def _box(shape: ElementTree.Element) -> Box | None:
    if shape.tag == "polygon":
        points = [point.split(",") for point in shape.get("points", "").split(";")]
        return around(points)
    keys = {
        "box": ("xtl", "ytl", "xbr", "ybr"),
        "ellipse": ("cx", "cy", "rx", "ry"),
        "mask": ("left", "top", "width", "height"),
    }.get(shape.tag)
    numbers = read_numbers(map(shape.get, keys)) if keys else None
    if numbers is None:
        return None
    if shape.tag == "mask":
        return from_corner(numbers)
    if shape.tag == "ellipse":
        x, y, rx, ry = numbers
        numbers = [x - rx, y - ry, x + rx, y + ry]
    angle = read_numbers((shape.get("rotation", 0),))
    return None if angle is None else _turned(numbers, angle[0])


def _turned(corners: Sequence[float], degrees: float) -> Box:
    """Return the upright box around one that is turned about its centre."""
    x1, y1, x2, y2 = corners
    sine, cosine = abs(math.sin(math.radians(degrees))), abs(math.cos(math.radians(degrees)))
    half_width, half_height = (x2 - x1) / 2, (y2 - y1) / 2
    across = half_width * cosine + half_height * sine
    down = half_width * sine + half_height * cosine
    x, y = (x1 + x2) / 2, (y1 + y2) / 2
    return x - across, y - down, x + across, y + down
