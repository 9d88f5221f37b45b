"""WIDER FACE: one text with, per image, its name, the number of faces and a row for each."""

from collections.abc import Mapping

from data.formats.files import is_image_name, to_text
from data.formats.tool_reader import ToolImage, ToolRow
from data.formats.tools.parsing import NOT_NUMBERS, from_corner, read_numbers

_INVALID = 7
"""Column of the flag that a face is not to be used."""


class WiderFace:
    """Faces flagged invalid are neutral; an image without faces has a row of zeros."""

    title = "WIDER FACE"

    def is_label_file(self, path: str) -> bool:
        """The texts are named wider_face_train_bbx_gt.txt."""
        return path.endswith("bbx_gt.txt")

    def is_companion(self, path: str) -> bool:
        """None is needed."""
        return False

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return all images of the text.

        Raises:
            ValueError: a line is neither an image nor belongs to one.
        """
        images: list[tuple[str, list[ToolRow]]] = []
        for number, line in enumerate(to_text(content).split("\n"), start=1):
            text = line.strip()
            if is_image_name(text):
                images.append((text, []))
            elif text and not images:
                raise ValueError(f"line {number} is not an image name: {text}")
            elif len(text.split()) > 1 and any(part != "0" for part in text.split()):
                images[-1][1].append(_row(f"line {number}", text))
        return [ToolImage(stated=name, rows=rows) for name, rows in images]

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return the one class."""
        return ("face",)


def _row(location: str, line: str) -> ToolRow:
    numbers = read_numbers(line.split())
    if numbers is None or len(numbers) < 4:
        return ToolRow(location, line, fault=NOT_NUMBERS)
    is_invalid = len(numbers) > _INVALID and numbers[_INVALID] == 1
    return ToolRow(location, line, "face", from_corner(numbers[:4]), ignore=is_invalid)
