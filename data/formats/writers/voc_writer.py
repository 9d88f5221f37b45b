"""Write records as a Pascal VOC data set: JPEGImages, Annotations, ImageSets/Main."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from data.formats.copies import copy_images, plan_copies, to_number
from utils.structures.images import Record


def write_voc(
    records: Sequence[Record],
    *,
    class_names: Sequence[str],
    root: str | Path,
    split: str,
    first_pixel: Literal[0, 1] = 1,
    names: Sequence[str] | None = None,
    link: bool = False,
) -> int:
    """Write images, XML files and the list of the split under `root`; ignored becomes difficult.

    Coordinates are not rounded to whole pixels. Areas have no place in the format. `names` are the
    images' file names in the new data set, their own where None; with `link` they are hard links to
    the same files where possible.

    Returns:
        The number of objects left out: with `first_pixel` 1 a box no more than 1 px wide or high
        would have xmin >= xmax, which readers take for a mistake. With 0 every box can be written.

    Raises:
        UserError: two images have the same name.
    """
    root = Path(root)
    targets = plan_copies(records, root / "JPEGImages", names)
    copy_images(records, targets, link=link)
    annotations = root / "Annotations"
    annotations.mkdir(parents=True, exist_ok=True)
    left_out = 0
    for record, target in zip(records, targets, strict=True):
        document = _header(record, target.name)
        left_out += _add_objects(document, record, class_names, first_pixel)
        ElementTree.indent(document)
        text = ElementTree.tostring(document, encoding="utf-8")
        (annotations / f"{target.stem}.xml").write_bytes(text)
    listed = root / "ImageSets" / "Main" / f"{split}.txt"
    listed.parent.mkdir(parents=True, exist_ok=True)
    listed.write_text("".join(f"{target.stem}\n" for target in targets), encoding="utf-8")
    return left_out


def _header(record: Record, file_name: str) -> ElementTree.Element:
    document = ElementTree.Element("annotation")
    _add(document, "filename", file_name)
    size = ElementTree.SubElement(document, "size")
    height, width = record.size
    for tag, value in (("width", width), ("height", height), ("depth", 3)):
        _add(size, tag, str(value))
    return document


def _add_objects(
    document: ElementTree.Element, record: Record, class_names: Sequence[str], first_pixel: int
) -> int:
    left_out = 0
    rows = zip(record.boxes.tolist(), record.labels.tolist(), record.ignore.tolist(), strict=True)
    for (x1, y1, x2, y2), label, ignore in rows:
        corners = [to_number(value) for value in (x1 + first_pixel, y1 + first_pixel, x2, y2)]
        if float(corners[0]) >= float(corners[2]) or float(corners[1]) >= float(corners[3]):
            left_out += 1
            continue
        item = ElementTree.SubElement(document, "object")
        _add(item, "name", class_names[label])
        _add(item, "difficult", str(int(ignore)))
        box = ElementTree.SubElement(item, "bndbox")
        for corner, text in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            _add(box, corner, text)
    return left_out


def _add(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = text
