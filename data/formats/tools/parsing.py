"""What several parsers of tools need: JSON objects, numbers, points, names."""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from data.formats.files import to_text

NOT_NUMBERS = "row does not hold the numbers of a box"
Box = tuple[float, float, float, float]
_DIGITS = re.compile(r"(\d+)")


def read_object(content: bytes) -> dict[str, Any]:
    """Return a JSON object; raises ValueError for anything else."""
    try:
        value = json.loads(to_text(content))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("it holds no object")
    return value


def read_list(content: bytes) -> list[dict[str, Any]]:
    """Return a JSON list of objects; raises ValueError for anything else."""
    try:
        value = json.loads(to_text(content))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError("it is no list of objects")
    return value


def read_numbers(texts: Iterable[Any]) -> list[float] | None:
    """Return finite numbers; None where one of the texts is none."""
    try:
        numbers = [float(text) for text in texts]
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
