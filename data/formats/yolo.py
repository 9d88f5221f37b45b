"""YOLO text labels: one file per image, rows `class cx cy w h` or `class x1 y1 x2 y2 x3 y3 ...`.

Coordinates are shares of the image as a viewer shows it, 0 to 1; nowhere else in the program are
boxes normalised. A polygon becomes the box around it. Writing is in `yolo_writer.py`, the search
for the files in `yolo_files.py`.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from configs.schema.data import YoloDataset
from data.formats.files import SplitFiles, to_text, write_list
from data.formats.rows import MAX_ROWS, NO_AREA, NOT_FINITE, RawImage, RawRow, RawSplit, to_float
from data.formats.yolo_files import find_yolo_files, label_path
from utils.structures.images import Record

WRONG_COLUMNS = "wrong number of columns: a box has 5, a polygon 7, 9, 11, ..."
NOT_A_NUMBER = "not a number"
CLASS_NOT_INTEGER = "class id is not an integer"
NOT_NORMALISED = "coordinates are not normalised to 0..1"

# A box with a number beyond this lies outside whatever the others are: it was written in pixels.
_LARGEST_NORMALISED = 2.0


class YoloReader:
    """Reads one split of a YOLO data set; image ids are positions in the sorted split, from 0."""

    def __init__(self, dataset: YoloDataset, split: Literal["train", "val", "test"]) -> None:
        self._dataset = dataset
        self._split = split

    def find(self) -> SplitFiles:
        """Return images and labels; raises UserError for a missing folder, list or all labels."""
        return find_yolo_files(self._dataset, self._split)

    def read(self, files: SplitFiles) -> RawSplit:
        """Return the rows of every image; one without a label file is background."""
        num_classes = len(self._dataset.class_names)
        raw = RawSplit(category_ids=tuple(range(num_classes)))
        for image_id, path in enumerate(files.images):
            label_file = label_path(path)
            content = files.labels.get(label_file)
            raw.images.append(
                RawImage(
                    path=path,
                    image_id=image_id,
                    rows=parse_rows(to_text(content), num_classes) if content else (),
                    fault=too_many_rows(content or b""),
                    label_file="" if content is None else label_file,
                    is_normalised=True,
                )
            )
        return raw

    def write_part(
        self, records: Sequence[Record], category_ids: Sequence[int], path: Path
    ) -> object:
        """Write a list of image paths; return where it is."""
        return write_list((record.path for record in records), path)


def too_many_rows(content: bytes) -> str:
    """Return the fault of an image with more rows than any image has, "" where it has none."""
    count = content.count(b"\n") + 1
    return (
        "" if count <= MAX_ROWS else f"its label file has {count:,} lines, more than {MAX_ROWS:,}"
    )


def parse_rows(text: str, num_classes: int) -> list[RawRow]:
    """Return a row for every line that is not blank; what cannot be parsed carries a fault.

    A text of more than `MAX_ROWS` lines counts as one row, which is rejected.
    """
    if (count := text.count("\n")) > MAX_ROWS:
        return [RawRow("file", f"{count:,} lines", fault=f"more than {MAX_ROWS:,} rows")]
    return [
        _parse_row(f"line {number}", line, num_classes)
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]


def _parse_row(location: str, line: str, num_classes: int) -> RawRow:
    line = line.strip()

    def reject(fault: str) -> RawRow:
        return RawRow(location, line, fault=fault)

    columns = line.split()
    if len(columns) < 5 or len(columns) % 2 == 0:
        return reject(WRONG_COLUMNS)
    try:
        number, *coordinates = map(to_float, columns)
    except ValueError:
        return reject(NOT_A_NUMBER)
    if not (math.isfinite(number) and all(map(math.isfinite, coordinates))):
        return reject(NOT_FINITE)
    if not number.is_integer():
        return reject(CLASS_NOT_INTEGER)
    if not 0 <= number < num_classes:
        return reject(f"class id is not in 0..{num_classes - 1}")
    if max(map(abs, coordinates)) > _LARGEST_NORMALISED:
        return reject(NOT_NORMALISED)
    if len(coordinates) == 4:
        cx, cy, width, height = coordinates
        if width <= 0 or height <= 0:
            return reject(NO_AREA)
        box = (cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2)
    else:
        xs, ys = coordinates[::2], coordinates[1::2]
        box = (min(xs), min(ys), max(xs), max(ys))
    return RawRow(location, line, label=int(number), box=box)
