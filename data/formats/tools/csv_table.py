"""A CSV with a row an object: file name, class and corners in pixels, under the usual names.

Roboflow's "TensorFlow Object Detection" (_annotations.csv) and many a data set of Kaggle.
"""

from collections.abc import Iterator, Mapping, Sequence

from data.formats.tool_reader import ToolImage, ToolRow
from data.formats.tools.parsing import NOT_NUMBERS, csv_lines, in_order, read_numbers

_COLUMNS: dict[str, tuple[str, ...]] = {
    "image": ("filename", "file_name", "image", "image_path", "image_name", "path", "image_id"),
    "name": ("class", "label", "class_name", "category", "name"),
    "x1": ("xmin", "x_min", "x1"),
    "y1": ("ymin", "y_min", "y1"),
    "x2": ("xmax", "x_max", "x2"),
    "y2": ("ymax", "y_max", "y2"),
}
"""Value -> names of its column, in lower case."""
_CORNERS = ("x1", "y1", "x2", "y2")


class CsvTable:
    """A row without corners stands for an image without objects."""

    title = "CSV table"

    def is_label_file(self, path: str) -> bool:
        """Every CSV may be one."""
        return path.lower().endswith(".csv")

    def is_companion(self, path: str) -> bool:
        """None is needed."""
        return False

    def parse(self, path: str, content: bytes, files: Mapping[str, bytes]) -> list[ToolImage]:
        """Return the images of the table; raises ValueError where a column is missing."""
        rows: dict[str, list[ToolRow]] = {}
        sizes: dict[str, tuple[int, int]] = {}
        for location, entry in _entries(content):
            own = rows.setdefault(entry["image"], [])
            if any(entry[corner] for corner in _CORNERS):
                own.append(_row(location, entry))
            size = read_numbers((entry.get("height") or 0, entry.get("width") or 0))
            if size and min(size) >= 1:
                sizes[entry["image"]] = (int(size[0]), int(size[1]))
        boxes = [row.box for own in rows.values() for row in own if not row.fault]
        is_normalised = bool(boxes) and max(map(max, boxes)) <= 1
        return [
            ToolImage(
                stated=name, rows=own, stated_size=sizes.get(name), is_normalised=is_normalised
            )
            for name, own in rows.items()
        ]

    def class_names(self, files: Mapping[str, bytes]) -> tuple[str, ...]:
        """Return all classes, sorted."""
        names: set[str] = set()
        for content in files.values():
            try:
                names |= {entry["name"] for _, entry in _entries(content) if entry["name"]}
            except ValueError:
                continue
        return in_order(names)


def has_columns(header: str) -> bool:
    """Tell whether the first line of a file has all the columns."""
    try:
        cells = next(csv_lines(header.strip().encode()), (1, []))[1]
    except ValueError:
        return False
    return None not in _positions(cells).values()


def _positions(header: Sequence[str]) -> dict[str, str | None]:
    known = {column.strip().lower(): column for column in header}
    return {
        key: next((known[name] for name in names if name in known), None)
        for key, names in _COLUMNS.items()
    }


def _entries(content: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    lines = csv_lines(content)
    header = next(lines, (0, []))[1]
    columns = _positions(header)
    for key, column in columns.items():
        if column is None:
            raise ValueError(f"it has no column {' or '.join(_COLUMNS[key])}")
    for number, cells in lines:
        row = dict(zip(header, cells, strict=False))
        entry = {key: row.get(str(column), "").strip() for key, column in columns.items()}
        entry |= {key: row.get(key, "").strip() for key in ("width", "height")}
        if entry["image"]:
            yield f"line {number}", entry


def _row(location: str, entry: Mapping[str, str]) -> ToolRow:
    value = ",".join(entry.values())
    numbers = read_numbers(entry[corner] for corner in _CORNERS)
    if numbers is None or not entry["name"]:
        return ToolRow(location, value, fault=NOT_NUMBERS)
    x1, y1, x2, y2 = numbers
    return ToolRow(location, value, entry["name"], (x1, y1, x2, y2))
