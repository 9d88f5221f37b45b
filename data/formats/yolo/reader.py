"""YOLO text labels: one file per image, rows `class cx cy w h` or `class x1 y1 x2 y2 x3 y3 ...`.

Coordinates are shares of the image as a viewer shows it, 0 to 1; nowhere else in the program are
boxes normalised. A polygon becomes the box around it; of rows with keypoints, a confidence or a
track id behind the box, the box is taken. Writing is in `yolo_writer.py`, the search for the files
in `files.py`, further columns in `columns.py`.
"""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from configs.schema.data import YoloDataset
from data.formats.files import SplitFiles, to_text, write_list
from data.formats.label_report import decide
from data.formats.rows import MAX_ROWS, NO_AREA, NOT_FINITE, RawImage, RawRow, RawSplit, to_float
from data.formats.yolo.columns import (
    POLYGONS,
    WRONG_COLUMNS,
    Keypoints,
    box_of,
    find_keypoints,
    reject,
)
from data.formats.yolo.files import find_yolo_files
from utils.runtime.errors import UserError
from utils.structures.images import Record

__all__ = ["WRONG_COLUMNS", "YoloReader", "parse_rows"]

NOT_A_NUMBER = "not a number"
DECIMAL_COMMA = "not a number: decimal commas, or columns separated by commas"
CLASS_NOT_INTEGER = "class id is not an integer"
NOT_NORMALISED = "coordinates are not normalised to 0..1"
KEYPOINTS = "keypoints behind the boxes: not used"
NO_CLASS_0 = "no row has class 0; check that the ids do not count from 1 (data.first_class=1)"

# A box with a coordinate beyond this is outside the image in any case: it is in pixels.
_LARGEST_NORMALISED = 2.0
_COMMA = re.compile(r"\d,\s?\d")
_HINTS = {
    NOT_NORMALISED: "they look like pixel coordinates; each has to be divided by the image's width "
    "or height",
    DECIMAL_COMMA: "numbers need decimal points and blanks between them; rows of VisDrone or "
    "KITTI are read with data=FOLDER",
    NOT_A_NUMBER: "rows begin with the number of the class; rows of KITTI and other tools are read "
    "with data=FOLDER",
}


class YoloReader:
    """Reads one split of a YOLO data set; image ids are positions in the sorted split, from 0."""

    def __init__(self, dataset: YoloDataset, split: Literal["train", "val", "test"]) -> None:
        self._dataset = dataset
        self._split = split

    def find(self) -> SplitFiles:
        """Return images and labels; raises UserError for a missing folder, list or all labels."""
        return find_yolo_files(self._dataset, self._split)

    def read(self, files: SplitFiles) -> RawSplit:
        """Return the rows of every image; one without a label file is background.

        Raises:
            UserError: rows may be polygons as well as boxes with keypoints.
        """
        num_classes = len(self._dataset.class_names)
        raw = RawSplit(category_ids=tuple(range(num_classes)))
        texts = {path: to_text(content) for path, content in files.labels.items()}
        keypoints = self._keypoints(texts, raw)
        first = self._dataset.first_class
        for image_id, path in enumerate(files.images):
            label_file = files.label_of.get(path, "")
            text = texts.get(label_file)
            raw.images.append(
                RawImage(
                    path=path,
                    image_id=image_id,
                    rows=parse_rows(text, num_classes, keypoints, first) if text else (),
                    fault=too_many_rows(files.labels.get(label_file, b"")),
                    label_file="" if text is None else label_file,
                    is_normalised=True,
                )
            )
        self._check_first_class(raw)
        raw.hint = _common_fault(raw)
        return raw

    def write_part(
        self, records: Sequence[Record], category_ids: Sequence[int], path: Path
    ) -> object:
        """Write a list of image paths; return where it is."""
        return write_list((record.path for record in records), path)

    def _keypoints(self, texts: Mapping[str, str], raw: RawSplit) -> Keypoints:
        stated = self._dataset.keypoints
        if stated is not None:
            found: Keypoints | None = Keypoints(*stated[:2]) if stated else POLYGONS
        else:
            found = find_keypoints(t for t in texts.values() if t.count("\n") <= MAX_ROWS)
        if found is None:
            raise UserError(
                f"data.{self._split}: some rows of more than 6 columns look like polygons, others "
                "like boxes with keypoints; set data.keypoints=[] for polygons, or [number, 2] "
                "or [number, 3] for keypoints"
            )
        if found.number:
            shape = f"{found.number} of {found.dimensions} numbers"
            raw.notes.append(decide(self._dataset.path, "file", shape, KEYPOINTS, "noted"))
        return found

    def _check_first_class(self, raw: RawSplit) -> None:
        """Raise UserError for ids that count from 1: training would shift every class by one."""
        num_classes = len(self._dataset.class_names)
        if self._dataset.first_class != 0:
            return
        beyond = f"class id is not in 0..{num_classes - 1}"
        parsed = [row for image in raw.images for row in image.rows]
        if not parsed or any(row.label == 0 for row in parsed if not row.fault):
            return
        too_large = [row for row in parsed if row.fault == beyond]
        ids = {str(row.value).split()[0] for row in too_large}
        if ids and ids <= {str(num_classes), f"{num_classes}.0"}:
            raw.refusal = (
                f"no row has class 0, {len(too_large)} have class {num_classes}: the ids count "
                "from 1, and every class would be another; set data.first_class=1, or fix the files"
            )
        elif num_classes > 1 and any(not row.fault for row in parsed):
            name = self._dataset.class_names[0]
            raw.notes.append(decide(self._dataset.path, "file", name, NO_CLASS_0, "noted"))


def too_many_rows(content: bytes) -> str:
    """Return the fault of an image with too many rows, "" where it has none."""
    count = content.count(b"\n") + 1
    return (
        "" if count <= MAX_ROWS else f"its label file has {count:,} lines, more than {MAX_ROWS:,}"
    )


def parse_rows(
    text: str, num_classes: int, keypoints: Keypoints = POLYGONS, first_class: int = 0
) -> list[RawRow]:
    """Return a row for every line that is not blank; what cannot be parsed carries a fault.

    A text of more than `MAX_ROWS` lines counts as one row, which is rejected.
    """
    if (count := text.count("\n")) > MAX_ROWS:
        return [RawRow("file", f"{count:,} lines", fault=f"more than {MAX_ROWS:,} rows")]
    return [
        _parse_row(f"line {number}", line.strip(), num_classes, keypoints, first_class)
        for number, line in enumerate(text.split("\n"), start=1)
        if line.strip()
    ]


def _parse_row(
    location: str, line: str, num_classes: int, keypoints: Keypoints, first_class: int
) -> RawRow:
    columns = line.split()
    try:
        number, *coordinates = map(to_float, columns)
    except ValueError:
        fault = DECIMAL_COMMA if _COMMA.search(line) else NOT_A_NUMBER
        return reject(location, line, fault if len(columns) >= 5 or "," in line else WRONG_COLUMNS)
    if len(columns) < 5:
        return reject(location, line, WRONG_COLUMNS)
    if not (math.isfinite(number) and all(map(math.isfinite, coordinates))):
        return reject(location, line, NOT_FINITE)
    if not number.is_integer():
        return reject(location, line, CLASS_NOT_INTEGER)
    label = int(number) - first_class
    if not 0 <= label < num_classes:
        ids = f"{first_class}..{num_classes - 1 + first_class}"
        return reject(location, line, f"class id is not in {ids}")
    if max(map(abs, coordinates[:4])) > _LARGEST_NORMALISED:
        return reject(location, line, NOT_NORMALISED)
    box, fault, repair = box_of(coordinates, keypoints)
    if box is None:
        return reject(location, line, fault)
    if box[2] <= box[0] or box[3] <= box[1]:
        return reject(location, line, NO_AREA)
    return RawRow(location, line, label=label, box=box, repair=repair)


def _common_fault(raw: RawSplit) -> str:
    """Return advice if one known fault explains most of the rejected rows."""
    faults = Counter(row.fault for image in raw.images for row in image.rows)
    num_rows = sum(faults.values())
    return next(
        (text for fault, text in _HINTS.items() if num_rows and faults[fault] > num_rows / 2), ""
    )
