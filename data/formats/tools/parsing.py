"""Shared by the parsers of tools: JSON objects, numbers, points, names."""

import csv
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from data.formats.files import to_text
from data.formats.rows import to_float
from utils.runtime.files.json_file import BrokenJsonError, parse_json

NOT_NUMBERS = "row does not have the numbers of a box"
Box = tuple[float, float, float, float]
_DIGITS = re.compile(r"(\d+)")


def read_object(content: bytes | str) -> dict[str, Any]:
    """Return a JSON object; raises ValueError for anything else."""
    text = to_text(content) if isinstance(content, bytes) else content
    try:
        value = parse_json(text, source="", allow_nan=True)
    except BrokenJsonError as error:
        raise ValueError(error.reason) from error
    if not isinstance(value, dict):
        raise ValueError("it holds no object")
    return value


def read_list(content: bytes) -> list[dict[str, Any]]:
    """Return a JSON list of objects; raises ValueError for anything else."""
    try:
        value = parse_json(to_text(content), source="", allow_nan=True)
    except BrokenJsonError as error:
        raise ValueError(error.reason) from error
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError("it is not a list of objects")
    return value


def objects_in(value: Any) -> list[dict[str, Any]]:
    """Return the entries of a JSON list, with an empty object for each that is none."""
    entries = value if isinstance(value, list) else []
    return [entry if isinstance(entry, dict) else {} for entry in entries]


def read_numbers(texts: Iterable[Any]) -> list[float] | None:
    """Return finite numbers; None where one of the texts is none."""
    try:
        numbers = [to_float(text) if isinstance(text, str) else float(text) for text in texts]
    except (TypeError, ValueError, OverflowError):
        return None
    return numbers if all(map(math.isfinite, numbers)) else None


def around(points: Any) -> Box | None:
    """Return the box around [[x, y], ...]; None where these are no points."""
    if not isinstance(points, list) or not points:
        return None
    if not all(isinstance(point, list) and len(point) >= 2 for point in points):
        return None
    numbers = read_numbers(value for point in points for value in point[:2])
    if numbers is None:
        return None
    xs, ys = numbers[::2], numbers[1::2]
    return min(xs), min(ys), max(xs), max(ys)


def from_corner(numbers: Sequence[float]) -> Box:
    """Return the corners of x, y, width, height."""
    x, y, width, height = numbers
    return x, y, x + width, y + height


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return each name once, sorted as a person does: class 2 before class 10."""
    return tuple(sorted(set(names), key=_natural))


def _natural(name: str) -> list[tuple[int, int, str]]:
    parts = _DIGITS.split(name)
    return [(1, int(part), "") if part.isdecimal() else (2, 0, part) for part in parts if part]


def csv_lines(content: bytes) -> Iterator[tuple[int, list[str]]]:
    """Yield number and cells of the lines of a table that are not empty; raises ValueError."""
    reader = csv.reader(to_text(content).split("\n"))
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:  # a cell longer than any name, for one
        raise ValueError(f"line {reader.line_num}: {error}") from error
