"""YOLO text labels: one file per image, rows `class cx cy w h` or `class x1 y1 x2 y2 x3 y3 ...`.

Coordinates are shares of the image as a viewer shows it, 0 to 1; nowhere else in the program are
boxes normalised. A polygon becomes the box around it; of rows with keypoints, a confidence or a
track id behind the box, the box is taken. Writing is in `yolo_writer.py`, the search for the files
in `files.py`.

Rows of pose data sets (`class cx cy w h x y x y ...`) look like polygons. All rows together
distinguish them: keypoints are within their box, the boxes within the image, and every row has the
same number of columns.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from configs.schema.data import YoloDataset
from data.formats.files import SplitFiles, to_text, write_list
from data.formats.label_report import decide
from data.formats.rows import MAX_ROWS, NO_AREA, NOT_FINITE, RawImage, RawRow, RawSplit, to_float
from data.formats.yolo.files import find_yolo_files
from utils.runtime.errors import UserError
from utils.structures.images import Record

WRONG_COLUMNS = "wrong number of columns: a box has 5, a polygon 7, 9, 11, ..."
SIXTH_COLUMN = "column 6 taken for a confidence or track id: not used"
SIX_BUT_NO_BOX = "6 columns, but 2 to 5 are no box in the image: class cx cy w h expected first"

_BOX_COLUMNS = 5
_SLACK = 0.01
_MARGIN = 0.1
_NEARLY_ALL, _HARDLY_ANY = 0.95, 0.3


class Keypoints(NamedTuple):
    """Points behind each box and numbers per point, 2 or 3; number 0: polygons instead."""

    number: int
    dimensions: int

    @property
    def columns(self) -> int:
        """Columns of a row with its class and box."""
        return _BOX_COLUMNS + self.number * self.dimensions


POLYGONS = Keypoints(0, 2)


def find_keypoints(texts: Iterable[str]) -> Keypoints | None:
    """Return the layout of rows with more than six columns; None if both fit some of them.

    Args:
        texts: contents of all label files of a split.
    """
    rows = [numbers for text in texts for numbers in _long_rows(text)]
    widths = {len(row) for row in rows}
    if len(widths) != 1:
        return POLYGONS
    extra = widths.pop() - _BOX_COLUMNS
    shares = {
        dimensions: sum(_is_pose(row, dimensions) for row in rows) / len(rows)
        for dimensions in (3, 2)
        if extra % dimensions == 0
    }
    if extra == 4 and sum(map(_is_parallelogram, rows)) > 0.9 * len(rows):
        return POLYGONS
    for dimensions, share in shares.items():
        if share >= _NEARLY_ALL:
            return Keypoints(extra // dimensions, dimensions)
    is_polygon = extra % 2 == 0 and max(shares.values(), default=0.0) <= _HARDLY_ANY
    return POLYGONS if is_polygon or not shares else None


def box_of(
    columns: list[float], keypoints: Keypoints
) -> tuple[tuple[float, float, float, float] | None, str, str]:
    """Return the box of a row without its class as shares of the image, the fault, the repair.

    Args:
        columns: finite numbers behind the class.
        keypoints: layout of rows with more than five columns.
    """
    num_columns = len(columns) + 1
    if num_columns == _BOX_COLUMNS or (keypoints.number and num_columns == keypoints.columns):
        return _from_center(columns[:4]), "", ""
    if num_columns == 6:
        box = _from_center(columns[:4])
        return (box, "", SIXTH_COLUMN) if _is_inside(box) else (None, SIX_BUT_NO_BOX, "")
    if keypoints.number or num_columns < _BOX_COLUMNS or num_columns % 2 == 0:
        return None, WRONG_COLUMNS, ""
    xs, ys = columns[::2], columns[1::2]
    return (min(xs), min(ys), max(xs), max(ys)), "", ""


def reject(location: str, line: str, fault: str) -> RawRow:
    """Return a row that cannot be used."""
    return RawRow(location, line, fault=fault)


def _from_center(columns: list[float]) -> tuple[float, float, float, float]:
    cx, cy, width, height = columns
    return cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2


def _is_inside(box: tuple[float, float, float, float]) -> bool:
    return min(box) >= -_SLACK and max(box) <= 1 + _SLACK


def _long_rows(text: str) -> Iterable[list[float]]:
    words = text.split()
    if len(words) == _BOX_COLUMNS * (text.count("\n") + (not text.endswith("\n"))):
        return  # boxes alone, as nearly all files
    for line in text.split("\n"):
        columns = line.split()
        if len(columns) > 6:
            try:
                numbers = list(map(to_float, columns))
            except ValueError:
                continue
            if all(map(math.isfinite, numbers)):
                yield numbers


def _is_pose(row: list[float], dimensions: int) -> bool:
    """Tell whether columns 1 to 4 are a box within the image that contains all further points."""
    _, cx, cy, width, height, *rest = row
    points = [rest[start : start + dimensions] for start in range(0, len(rest), dimensions)]
    if dimensions == 3 and not all(point[2] in (0, 1, 2) for point in points):
        return False
    labelled = [point for point in points if any(point)]
    reach_x, reach_y = width * (0.5 + _MARGIN), height * (0.5 + _MARGIN)
    return _is_inside(_from_center([cx, cy, width, height])) and all(
        abs(point[0] - cx) <= reach_x and abs(point[1] - cy) <= reach_y for point in labelled
    )


def _is_parallelogram(row: list[float]) -> bool:
    _, x1, y1, x2, y2, x3, y3, x4, y4 = row
    return abs(x1 - x2 + x3 - x4) < _SLACK and abs(y1 - y2 + y3 - y4) < _SLACK


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
