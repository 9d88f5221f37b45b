"""Write records as a YOLO data set: `images/<split>/x.jpg` with `labels/<split>/x.txt`."""

from collections.abc import Sequence
from pathlib import Path

from data.formats.copies import copy_images, plan_copies, to_number
from utils.structures.images import Record


def write_yolo(
    records: Sequence[Record],
    *,
    class_names: Sequence[str],
    root: str | Path,
    split: str,
    names: Sequence[str] | None = None,
    link: bool = False,
) -> int:
    """Write images, labels and `classes.txt` under `root`; areas have no place in the format.

    A background image gets an empty label file. Normalised coordinates have nine digits: reading
    them back gives every box to within 1e-3 px for images up to 100,000 px. `names` are the images'
    file names in the new data set, their own where None; with `link` they are hard links to the
    same files where possible.

    Returns:
        The number of ignored objects, which the format cannot express and which are left out.

    Raises:
        UserError: two images have the same name.
    """
    root = Path(root)
    targets = plan_copies(records, root / "images" / split, names)
    copy_images(records, targets, link=link)
    labels = root / "labels" / split
    labels.mkdir(parents=True, exist_ok=True)
    for record, target in zip(records, targets, strict=True):
        text = "".join(f"{row}\n" for row in yolo_rows(record))
        (labels / f"{target.stem}.txt").write_text(text, encoding="utf-8")
    (root / "classes.txt").write_text("\n".join(class_names) + "\n", encoding="utf-8")
    return sum(int(record.ignore.sum()) for record in records)


def yolo_rows(record: Record) -> list[str]:
    """Return one line `label cx cy w h` per object that is not ignored, normalised, no newline."""
    height, width = record.size
    rows = []
    for box, label in zip(
        record.boxes[~record.ignore].tolist(), record.labels[~record.ignore].tolist(), strict=True
    ):
        x1, y1, x2, y2 = box
        center_size = (
            (x1 + x2) / 2 / width,
            (y1 + y2) / 2 / height,
            (x2 - x1) / width,
            (y2 - y1) / height,
        )
        rows.append(" ".join((str(label), *map(to_number, center_size))))
    return rows
