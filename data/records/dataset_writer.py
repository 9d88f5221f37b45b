"""Write whole data sets: every split in one format, and the YAML that trains on them."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import yaml

from data.formats.copies import distinct_names
from data.formats.writers.coco_writer import write_coco
from data.formats.writers.voc_writer import write_voc
from data.formats.writers.yolo_writer import write_yolo
from data.records.split import Split
from utils.runtime.errors import UserError
from utils.structures.images import Record

Format = Literal["coco", "yolo", "voc"]
FORMATS: tuple[Format, ...] = ("coco", "yolo", "voc")
YAML_NAME = "data.yaml"


class Written(NamedTuple):
    """What one call wrote."""

    yaml: Path
    """The data set YAML: `train.py data=...` takes it."""
    num_images: int
    num_boxes: int
    left_out: int
    """Objects the format cannot express: ignored ones in YOLO, those within a pixel in VOC."""
    renamed: int
    """Images that got another name because theirs was taken."""


def write_dataset(
    splits: Sequence[Split], *, to: Format, root: Path, link: bool = False
) -> Written:
    """Write all splits into the new folder `root`.

    Args:
        splits: with the same class names.
        to: format of the labels.
        root: must be empty or not exist.
        link: images are hard links to the same files where possible.

    Raises:
        UserError: `root` is not empty.
    """
    require_empty(root)
    taken: set[str] = set()
    left_out = renamed = 0
    for split in splits:
        if to != "voc":  # there all splits share one folder
            taken = set()
        names = distinct_names(split.records, taken)
        renamed += sum(
            name != os.path.basename(record.path)
            for name, record in zip(names, split.records, strict=True)
        )
        left_out += _WRITERS[to](split, root, names, link)
    path = root / YAML_NAME
    path.write_text(_yaml_text(splits, to), encoding="utf-8")
    records: list[Record] = [record for split in splits for record in split.records]
    return Written(
        yaml=path,
        num_images=len(records),
        num_boxes=sum(len(record.boxes) for record in records) - left_out,
        left_out=left_out,
        renamed=renamed,
    )


def require_empty(folder: Path) -> None:
    """Raise UserError unless `folder` is new or empty: nothing is ever written over."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and is not empty; name a new folder")


def _write_coco(split: Split, root: Path, names: Sequence[str], link: bool) -> int:
    # Ids that merely count classes from 0 say nothing; COCO's own count from 1.
    is_plain = split.category_ids == tuple(range(len(split.class_names)))
    write_coco(
        split.records,
        class_names=split.class_names,
        root=root,
        split=split.name,
        category_ids=None if is_plain else split.category_ids,
        names=names,
        link=link,
    )
    return 0


def _write_voc(split: Split, root: Path, names: Sequence[str], link: bool) -> int:
    return write_voc(
        split.records,
        class_names=split.class_names,
        root=root,
        split=split.name,
        names=names,
        link=link,
    )


def _write_yolo(split: Split, root: Path, names: Sequence[str], link: bool) -> int:
    return write_yolo(
        split.records,
        class_names=split.class_names,
        root=root,
        split=split.name,
        names=names,
        link=link,
    )


_WRITERS: dict[Format, Callable[[Split, Path, Sequence[str], bool], int]] = {
    "coco": _write_coco,
    "yolo": _write_yolo,
    "voc": _write_voc,
}


def _yaml_text(splits: Sequence[Split], to: Format) -> str:
    content: dict[str, Any] = {"format": to}
    if to == "voc":
        content["first_pixel"] = 1
        # Without it the reader would look for VOC's own list of a split that is not there.
        content["val"] = None
    for split in splits:
        content[split.name] = {
            "coco": {"images": split.name, "annotations": f"annotations/{split.name}.json"},
            "yolo": f"images/{split.name}",
            "voc": f"ImageSets/Main/{split.name}.txt",
        }[to]
    content["class_names"] = list(splits[0].class_names)
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None)
