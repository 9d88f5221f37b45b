"""Boxes in pixels of another image size.

A label file may give the size of the image it was made for. If the image was resized since, with
its proportions kept, the boxes are scaled too. If width and height are swapped, the image is
rotated by its EXIF data, and the boxes may be in pixels as stored or as shown: boxes that fit only
one of the two tell which.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from data.formats.label_report import Decision, decide
from data.formats.rows import REPAIRABLE_PX, RawImage, RawRow

SIZE_DIFFERS = "image has another size than its labels state"
SCALED = "image was resized since it was labelled: box scaled"
OTHER_UNITS = "image has other proportions than its labels state: boxes may belong to another image"
STORED_FRAME = (
    "boxes count in the pixels as stored, but the image is shown rotated (EXIF): set "
    "data.frame=stored to turn them"
)
_LITTLE_PX = 2
_ROUNDING = 0.01

Size = tuple[int, int]


class Swapped(NamedTuple):
    """Number of boxes that fit each frame, over the images of a split with swapped sides."""

    leaves_shown: bool
    leaves_stated: bool


def in_image_pixels(
    images: Sequence[RawImage], sizes: Mapping[str, Size]
) -> tuple[list[RawImage], list[Decision]]:
    """Return the images with boxes in pixels of their files, and decisions about sizes.

    Args:
        images: of a whole split.
        sizes: (height, width) by path, of the images that can be used.
    """
    swapped = _look_at_swapped(images, sizes)
    result, decisions = [], []
    for image in images:
        size = sizes.get(image.path)
        if size is None or image.is_normalised or image.stated_size in (None, size):
            result.append(image)
            continue
        converted, decision = _convert(image, size, swapped)
        result.append(converted)
        decisions.append(decision)
    return result, decisions


def _look_at_swapped(images: Sequence[RawImage], sizes: Mapping[str, Size]) -> Swapped:
    shown = stated = False
    for image in images:
        size, own = sizes.get(image.path), image.stated_size
        if size and own and not image.is_normalised and _is_swapped(own, size):
            shown |= any(_leaves(row, size) for row in image.rows)
            stated |= any(_leaves(row, own) for row in image.rows)
    return Swapped(shown, stated)


def _convert(image: RawImage, size: Size, swapped: Swapped) -> tuple[RawImage, Decision]:
    stated = image.stated_size or size
    value = f"stated {stated[1]}x{stated[0]}, is {size[1]}x{size[0]}"

    def rejected(reason: str) -> tuple[RawImage, Decision]:
        rows = tuple(row._replace(fault=row.fault or reason) for row in image.rows)
        return replace(image, rows=rows), decide(image.path, "image", value, reason, "noted")

    noted = decide(image.path, "image", value, SIZE_DIFFERS, "noted")
    if _is_swapped(stated, size):
        is_stored = swapped.leaves_shown and not swapped.leaves_stated
        return rejected(STORED_FRAME) if is_stored else (image, noted)
    if abs(stated[0] - size[0]) <= _LITTLE_PX and abs(stated[1] - size[1]) <= _LITTLE_PX:
        return image, noted
    is_beyond = any(_leaves(row, stated) for row in image.rows)
    if is_beyond and not any(_leaves(row, size) for row in image.rows):
        return image, noted  # drawn on the image as it is: only the given size is wrong
    if _has_same_proportions(stated, size):
        rows = tuple(_scaled(row, size[0] / stated[0], size[1] / stated[1]) for row in image.rows)
        return replace(image, rows=rows, stated_size=size), decide(
            image.path, "image", value, SCALED, "repaired"
        )
    return rejected(OTHER_UNITS)


def _is_swapped(stated: Size, size: Size) -> bool:
    return stated == (size[1], size[0]) and size[0] != size[1]


def _has_same_proportions(stated: Size, size: Size) -> bool:
    """Tell whether one size is the other times a factor, but for rounding of its sides."""
    factors = (size[0] / stated[0], size[1] / stated[1])
    slack = _ROUNDING + 1 / min(*stated, *size)
    return abs(factors[0] / factors[1] - 1) <= slack


def _leaves(row: RawRow, size: Size) -> bool:
    x1, y1, x2, y2 = row.box
    far = (-x1, -y1, x2 - size[1], y2 - size[0])
    return not row.fault and max(far) > REPAIRABLE_PX


def _scaled(row: RawRow, vertical: float, horizontal: float) -> RawRow:
    if row.fault:
        return row
    x1, y1, x2, y2 = row.box
    box = (x1 * horizontal, y1 * vertical, x2 * horizontal, y2 * vertical)
    repair = "; ".join(filter(None, (row.repair, SCALED)))
    return row._replace(box=box, area=row.area * vertical * horizontal, repair=repair)
