"""Boxes of COCO annotations that deviate from `[x, y, width, height]` in pixels.

The value can mostly be recovered: from a polygon or mask where `bbox` is missing, from numbers as
text, from normalised boxes. Ambiguous boxes are not guessed.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from data.formats.rows import to_float

Box = tuple[float, float, float, float]
BoxOrder = Literal["xywh", "xyxy", "cxcywh"]

FROM_SEGMENTATION = "no bbox: box of the segmentation taken"
NUMBERS_AS_TEXT = "bbox has text: read as numbers"
LARGEST_ID = 2**62
"""Ids and sizes above this do not fit into arrays of 64 bits."""
_INTEGER = re.compile(r"[-+]?\d{1,100}(?:\.0*)?", re.ASCII)
_MAX_SHIFT = 64


class Layout(NamedTuple):
    """Layout of the four numbers of all boxes of a file."""

    order: BoxOrder = "xywh"
    is_normalised: bool = False


def read_box(annotation: Mapping[str, Any]) -> tuple[Sequence[float] | None, str]:
    """Return the four numbers of an annotation as they are, and what had to be changed.

    (None, "") where neither bbox nor segmentation gives a box. A box of a segmentation comes as
    x, y, width, height.
    """
    bbox = annotation.get("bbox")
    if isinstance(bbox, list) and len(bbox) == 4:
        numbers = [to_number(value) for value in bbox]
        if all(number is not None for number in numbers):
            is_text = any(isinstance(value, str) for value in bbox)
            found = [number for number in numbers if number is not None]
            return found, NUMBERS_AS_TEXT if is_text else ""
    if bbox not in (None, [], {}, ""):
        return None, ""
    box = box_of_segmentation(annotation.get("segmentation"))
    return box, FROM_SEGMENTATION if box else ""


def box_of_segmentation(segmentation: Any) -> Sequence[float] | None:
    """Return x, y, width, height around polygons or a run-length mask; None where there is none."""
    if isinstance(segmentation, list):
        return _around_polygons(segmentation)
    if isinstance(segmentation, dict):
        return _around_mask(segmentation)
    return None


def find_layout(
    boxes: Sequence[Sequence[float]],
    sizes: Sequence[tuple[int, int] | None],
    stated: Literal["auto", "xywh", "xyxy", "cxcywh"],
) -> tuple[Layout, str]:
    """Return the layout of the boxes, and a question if it is ambiguous.

    Args:
        boxes: four numbers each.
        sizes: (height, width) of the image of each box in the file, if known.
        stated: layout in the settings.
    """
    if not boxes:
        return Layout(), ""
    numbers = np.array(boxes, np.float64)
    numbers = numbers[np.isfinite(numbers).all(axis=1)]
    is_normalised = len(numbers) > 0 and bool((np.abs(numbers) <= 1.0 + 1e-6).all())
    is_normalised &= bool((numbers[:, 2:] > 0).any()) if len(numbers) else False
    if stated != "auto":
        return Layout(stated, is_normalised), ""
    if is_normalised:
        fitting = [order for order in ("xywh", "cxcywh", "xyxy") if _share_inside(numbers, order)]
        orders = [order for order in fitting if order != "xyxy"] or fitting
        if len(orders) == 1:
            return Layout(orders[0], is_normalised=True), ""  # type: ignore[arg-type]
        return Layout(), "bbox is normalised, as corner and size or as centre and size"
    known = [(box, size) for box, size in zip(boxes, sizes, strict=True) if size and min(size) > 0]
    if len(known) >= 3 and _looks_like_corners(known):
        return Layout(), "bbox looks like two corners (x1, y1, x2, y2), not corner and size"
    return Layout(), ""


def to_xyxy(box: Sequence[float], order: BoxOrder) -> Box:
    """Return the corners of a box."""
    first, second, third, fourth = box
    if order == "xyxy":
        return first, second, third, fourth
    if order == "cxcywh":
        return first - third / 2, second - fourth / 2, first + third / 2, second + fourth / 2
    return first, second, first + third, second + fourth


def to_number(value: Any) -> float | None:
    """Return a number or a text that contains one as a number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return to_float(value) if isinstance(value, str) else float(value)
    except ValueError:
        return None
    except OverflowError:
        return math.inf


def to_id(value: Any) -> int | str | None:
    """Return an id: 1, 1.0 and "1" are the same; another text stays one; None for no id."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return int(value) if math.isfinite(value) and value.is_integer() else None
    if isinstance(value, str):
        return int(value.partition(".")[0]) if _INTEGER.fullmatch(value) else value or None
    return None


def _share_inside(boxes: Any, order: str) -> bool:
    """Tell whether all normalised boxes are within their image in this layout."""
    corners = [to_xyxy(box, order) for box in boxes.tolist()]  # type: ignore[arg-type]
    return all(
        x1 >= -0.005 and y1 >= -0.005 and x2 <= 1.005 and y2 <= 1.005 and x2 > x1 and y2 > y1
        for x1, y1, x2, y2 in corners
    )


def _looks_like_corners(known: Iterable[tuple[Sequence[float], tuple[int, int]]]) -> bool:
    """Tell whether boxes leave the image as corner and size, but fit it as two corners."""
    total = leaving = 0
    for (x1, y1, x2, y2), (height, width) in known:
        if not (x2 > x1 and y2 > y1 and x2 <= width + 1 and y2 <= height + 1):
            return False
        total += 1
        leaving += x1 + x2 > width + 1 or y1 + y2 > height + 1
    return leaving > 0.1 * total


def _around_polygons(polygons: Sequence[Any]) -> Sequence[float] | None:
    parts = polygons if polygons and isinstance(polygons[0], list) else [polygons]
    points: list[tuple[float, float]] = []
    for part in parts:
        if not isinstance(part, list) or not part:
            continue
        corners = _corners(part)
        if corners is None:
            return None
        points += corners
    if not points:
        return None
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs) - min(xs), max(ys) - min(ys)


def _corners(polygon: Sequence[Any]) -> list[tuple[float, float]] | None:
    """Return the corners of [x, y, x, y, ...]; None unless it has three or more."""
    numbers = [number for value in polygon if (number := to_number(value)) is not None]
    if len(numbers) < len(polygon) or len(numbers) < 6 or len(numbers) % 2:
        return None
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _around_mask(mask: Mapping[str, Any]) -> Sequence[float] | None:
    size, counts = mask.get("size"), mask.get("counts")
    if not (isinstance(size, list) and len(size) == 2 and all(isinstance(n, int) for n in size)):
        return None
    height, width = size
    runs = _uncompress(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(isinstance(run, int) and run >= 0 for run in runs):
        return None
    if not 0 < height * width < LARGEST_ID or height <= 0 or sum(runs) != height * width:
        return None
    ends = np.cumsum(np.array(runs, np.int64))
    starts = np.concatenate([[0], ends[:-1]])[1::2]
    ends = ends[1::2]
    starts, ends = starts[ends > starts], ends[ends > starts] - 1
    if not len(starts):
        return None
    # Runs go down the columns; one that continues into the next column touches top and bottom.
    first, last = starts // height, ends // height
    is_one = first == last
    top = int(np.where(is_one, starts % height, 0).min())
    bottom = int(np.where(is_one, ends % height, height - 1).max())
    left, right = int(first.min()), int(last.max())
    return left, top, right - left + 1, bottom - top + 1


def _uncompress(text: str) -> list[int] | None:
    """Return the runs of COCO's compressed text: base 32 digits, differences from the third on."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        digit = ord(character) - 48
        if not 0 <= digit < 64 or shift > _MAX_SHIFT:
            return None
        value |= (digit & 31) << shift
        shift += 5
        if digit & 32:
            continue
        if digit & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    return runs
