"""Boxes in pixels as stored, while images are shown rotated by their EXIF data.

Most tools label what they show. Where labels were made by a program that ignores the rotation,
`data.frame: stored` says so, and boxes turn with the image.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from data.formats.rows import RawImage, RawRow
from data.images.io import read_orientation

Box = tuple[float, float, float, float]

TURNED = "box turned with its image (EXIF, data.frame)"


def in_shown_frame(
    images: Sequence[RawImage],
    sizes: Mapping[str, tuple[int, int]],
    orientation_of: Callable[[str], int] = read_orientation,
) -> list[RawImage]:
    """Return the images with boxes in the frame in which a viewer shows them.

    Args:
        images: with boxes in the frame as stored.
        sizes: (height, width) as shown, by path, of the images that can be used.
        orientation_of: EXIF value of a file, 1 to 8.
    """
    return [
        _turned(image, sizes[image.path], orientation_of(image.path))
        if image.path in sizes and image.rows
        else image
        for image in images
    ]


def turn_box(box: Box, size: tuple[float, float], orientation: int) -> Box:
    """Return a box in the frame as shown.

    Args:
        box: xyxy as stored.
        size: (height, width) as stored, in the unit of the box.
        orientation: EXIF value, 1 to 8.
    """
    height, width = size
    x1, y1, x2, y2 = box
    turn: dict[int, Box] = {
        2: (width - x2, y1, width - x1, y2),
        3: (width - x2, height - y2, width - x1, height - y1),
        4: (x1, height - y2, x2, height - y1),
        5: (y1, x1, y2, x2),
        6: (height - y2, x1, height - y1, x2),
        7: (height - y2, width - x2, height - y1, width - x1),
        8: (y1, width - x2, y2, width - x1),
    }
    return turn.get(orientation, box)


def _turned(image: RawImage, shown: tuple[int, int], orientation: int) -> RawImage:
    if orientation == 1:
        return image
    stored = (shown[1], shown[0]) if orientation >= 5 else shown
    frame = image.stated_size or stored
    limits = (1.0, 1.0) if image.is_normalised else frame
    rows = tuple(row if row.fault else _turn_row(row, limits, orientation) for row in image.rows)
    own = (frame[1], frame[0]) if orientation >= 5 else frame
    return replace(image, rows=rows, stated_size=own if image.stated_size else None)


def _turn_row(row: RawRow, size: tuple[float, float], orientation: int) -> RawRow:
    repair = "; ".join(filter(None, (row.repair, TURNED)))
    return row._replace(box=turn_box(row.box, size, orientation), repair=repair)
