"""CrowdHuman: an .odgt file, one JSON object a line with the boxes of an image."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from data.formats.files import to_text
from data.formats.tool_reader import ALL_CLASSES, ToolImage, ToolRow
from data.formats.tools.parsing import (
    NOT_NUMBERS,
    from_corner,
    in_order,
    objects_in,
    read_numbers,
    read_object,
)

_NEUTRAL = "mask"


class CrowdHuman:
    """Full boxes, which reach beyond the image; masks and boxes flagged ignore are neutral."""

    title = "CrowdHuman"

    def is_label_file(self, path: str) -> bool:
        """The suffix tells."""
        return path.lower().endswith(".odgt")

    def is_companion(self, path: str) -> bool:
        """None is needed."""
        return False

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return all images of the file; ids are file names without suffix.

        Raises:
            ValueError: a line is not a JSON object with an ID.
        """
        images = []
        for number, line in enumerate(to_text(content).split("\n"), start=1):
            if not line.strip():
                continue
            entry = read_object(line)
            if not isinstance(entry.get("ID"), str):
                raise ValueError(f"line {number} has no ID")
            boxes = objects_in(entry.get("gtboxes"))
            rows = [_row(f"line {number} box {place}", box) for place, box in enumerate(boxes)]
            images.append(ToolImage(stated=entry["ID"], rows=rows))
        return images

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the tags that are no masks; person in the data set itself."""
        images: list[ToolImage] = []
        for path, content in files.items():
            with suppress(ValueError):  # the file becomes a rejected row when it is read
                images += self.parse(path, content, files)
        names = {row.class_name for image in images for row in image.rows if not row.fault}
        return in_order(names - {ALL_CLASSES}) or ("person",)


def _row(location: str, entry: Mapping[str, Any]) -> ToolRow:
    tag, full = str(entry.get("tag")), entry.get("fbox") or entry.get("vbox")
    numbers = read_numbers(full) if isinstance(full, list) and len(full) == 4 else None
    value = f"{tag} {full}"
    if numbers is None:
        return ToolRow(location, value, fault=NOT_NUMBERS)
    extra, head = entry.get("extra"), from_corner(numbers)
    is_neutral = tag == _NEUTRAL
    is_ignored = isinstance(extra, dict) and extra.get("ignore") == 1
    name = ALL_CLASSES if is_neutral else tag
    return ToolRow(location, value, name, head, ignore=is_neutral or is_ignored)
