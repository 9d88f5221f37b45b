"""COCO instances JSON: boxes `[x, y, width, height]` in pixels, categories mapped by name.

Ids may start at 0, have gaps or be in any order. Writing is in `coco_writer.py`.
"""

import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, TypeGuard

from configs.schema.data import CocoDataset
from data.formats.coco_writer import coco_document
from data.formats.files import SplitFiles, list_images, read_required, require_folder
from data.formats.rows import NO_AREA, RawImage, RawRow, RawSplit
from data.label_report import decide
from utils.runtime.atomic import write_atomically
from utils.runtime.errors import UserError
from utils.runtime.json_file import parse_json
from utils.runtime.printable import shortened
from utils.structures.images import Record

NO_BOX = "bbox is not a list of four numbers"
UNKNOWN_IMAGE = "image_id is not in images"
UNKNOWN_CATEGORY = "category_id is not in categories"
AREA_REPLACED = "area is not a positive number: box area taken"
UNUSED_CATEGORY = "category is not in class_names and has no annotations: ignored"
CLASS_WITHOUT_CATEGORY = "class of class_names has no category in this file"
NAMED_TWICE = "several images have one file_name: all of them are used"
NO_CROWD_FLAG = "iscrowd is neither 0 nor 1"
LISTED_TWICE = "image id is listed more than once: first taken"


class CocoReader:
    """Reads one split of a COCO data set; image ids are those of the file, in rising order."""

    def __init__(self, dataset: CocoDataset, split: Literal["train", "val", "test"]) -> None:
        paths = getattr(dataset, split)
        self._class_names = dataset.class_names
        self._key = f"data.{split}"
        self._annotations = Path(os.path.abspath(Path(dataset.path) / paths.annotations))
        self._stated_images = paths.images
        self._images = Path(os.path.abspath(Path(dataset.path) / paths.images))

    def find(self) -> SplitFiles:
        """Return the JSON and all images of the folder; raises UserError if either is missing."""
        folder = require_folder(self._images, f"{self._key}.images")
        content = read_required(self._annotations, f"{self._key}.annotations")
        images = list_images(folder)
        return SplitFiles(images=tuple(images), labels={str(self._annotations): content})

    def read(self, files: SplitFiles) -> RawSplit:
        """Return the rows of every image of the JSON.

        Raises:
            UserError: the file is no COCO JSON, an image has no usable id or name, or a category
                with annotations is not in class_names.
        """
        document = self._parse(files.labels[str(self._annotations)])
        raw = RawSplit()
        categories = self._match_categories(document, raw)
        images = self._images_by_id(document["images"], raw)
        rows = self._rows_by_image(document["annotations"], categories, images, raw)
        for image_id, image in sorted(images.items()):
            raw.images.append(
                RawImage(
                    path=os.path.normpath(self._images / image["file_name"]),
                    image_id=image_id,
                    rows=rows[image_id],
                    label_file=str(self._annotations),
                    stated_size=_stated_size(image),
                )
            )
        return raw

    def write_part(
        self, records: Sequence[Record], category_ids: Sequence[int], path: Path
    ) -> object:
        """Write an instances JSON; return the pair of its path and the folder of the images."""
        path = path.with_suffix(".json").resolve()
        root = self._images.resolve()
        document = coco_document(
            records,
            names=[Path(r.path).resolve().relative_to(root).as_posix() for r in records],
            class_names=self._class_names,
            category_ids=category_ids,
        )
        write_atomically(path, json.dumps(document).encode())
        return {"images": self._stated_images, "annotations": str(path)}

    def _parse(self, content: bytes) -> dict[str, Any]:
        document = parse_json(content, source=self._annotations, allow_nan=True)
        for key in ("images", "annotations", "categories"):
            entries = document.get(key) if isinstance(document, dict) else None
            if not isinstance(entries, list) or not all(
                isinstance(entry, dict) for entry in entries
            ):
                raise UserError(
                    f"{self._annotations} is not a COCO instances file: "
                    f"'{key}' must be a list of objects"
                )
        return dict(document)

    def _match_categories(self, document: Mapping[str, Any], raw: RawSplit) -> dict[Any, int]:
        """Return class index by category id and set `raw.category_ids`, its inverse."""
        index = {name: label for label, name in enumerate(self._class_names)}
        used = {_hashable(annotation.get("category_id")) for annotation in document["annotations"]}
        by_id: dict[Any, int] = {}
        id_of: dict[int, int] = {}
        for category in document["categories"]:
            category_id, name = category.get("id"), _hashable(category.get("name"))
            if not _is_id(category_id) or category_id in by_id:
                raise UserError(
                    f"{self._annotations}: category {shortened(repr(name), 60)} needs an "
                    f"integer id of its own, got {shortened(repr(category_id), 60)}"
                )
            if name in index:
                by_id[category_id] = index[name]
                id_of.setdefault(index[name], category_id)
            elif category_id in used:
                stated = {_hashable(entry.get("name")) for entry in document["categories"]}
                raise UserError(self._explain_unknown(name, stated))
            else:
                note = decide(
                    self._annotations, f"category {category_id}", name, UNUSED_CATEGORY, "noted"
                )
                raw.notes.append(note)
        raw.category_ids = self._complete(id_of, document["categories"], raw)
        return by_id

    def _explain_unknown(self, name: object, stated: "set[object]") -> str:
        # A near name that is a category of its own is another thing, not another spelling.
        free = [known for known in self._class_names if known not in stated]
        close = get_close_matches(shortened(name), free, n=1)
        hint = f"did you mean {close[0]!r} there?" if close else "add it there"
        return (
            f"{self._annotations}: category {shortened(repr(name), 60)} has annotations but is "
            f"not in data.class_names ({', '.join(self._class_names)}); {hint}"
        )

    def _complete(
        self, id_of: Mapping[int, int], categories: Sequence[Mapping[str, Any]], raw: RawSplit
    ) -> tuple[int, ...]:
        if not id_of:
            names = ", ".join(str(category.get("name")) for category in categories) or "none"
            raise UserError(
                f"{self._annotations}: no category is in data.class_names; the file has {names}"
            )
        unused = max(category["id"] for category in categories) + 1
        ids = []
        for label, name in enumerate(self._class_names):
            if label not in id_of:
                note = decide(self._annotations, "file", name, CLASS_WITHOUT_CATEGORY, "noted")
                raw.notes.append(note)
            ids.append(id_of.get(label, unused + label))
        return tuple(ids)

    def _images_by_id(
        self, entries: Sequence[dict[str, Any]], raw: RawSplit
    ) -> dict[int, dict[str, Any]]:
        images: dict[int, dict[str, Any]] = {}
        names: dict[str, list[int]] = defaultdict(list)
        for entry in entries:
            image_id, name = entry.get("id"), entry.get("file_name")
            if not _is_id(image_id) or not _is_file_name(name):
                raise UserError(
                    f"{self._annotations}: every image needs an integer 'id' and a 'file_name', "
                    f"got {shortened(repr(image_id), 60)} and {shortened(repr(name), 60)}"
                )
            if image_id in images:
                note = decide(self._annotations, f"image {image_id}", name, LISTED_TWICE, "noted")
                raw.notes.append(note)
                continue
            images[image_id] = entry
            names[name].append(image_id)
        if not images:
            raise UserError(f"{self._key}: {self._annotations} lists no images")
        for name, ids in names.items():
            if len(ids) > 1:
                note = decide(self._annotations, f"image {ids[1]}", name, NAMED_TWICE, "noted")
                raw.notes.append(note)
        return images

    def _rows_by_image(
        self,
        annotations: Sequence[dict[str, Any]],
        categories: Mapping[Any, int],
        images: Mapping[int, Any],
        raw: RawSplit,
    ) -> dict[int, list[RawRow]]:
        rows: dict[int, list[RawRow]] = defaultdict(list)
        for position, annotation in enumerate(annotations):
            location = f"annotation {annotation.get('id', f'at position {position}')}"
            image_id = _hashable(annotation.get("image_id"))
            if image_id not in images:
                stray = decide(self._annotations, location, image_id, UNKNOWN_IMAGE, "rejected")
                raw.stray_rows.append(stray)
                continue
            rows[image_id].append(_parse_annotation(location, annotation, categories))
        return rows


def _parse_annotation(
    location: str, annotation: Mapping[str, Any], categories: Mapping[Any, int]
) -> RawRow:
    category_id, bbox = _hashable(annotation.get("category_id")), annotation.get("bbox")
    if category_id not in categories:
        return RawRow(location, category_id, fault=UNKNOWN_CATEGORY)
    if not isinstance(bbox, list) or len(bbox) != 4 or not all(map(_is_number, bbox)):
        return RawRow(location, bbox, fault=NO_BOX)
    x, y, width, height = map(_to_float, bbox)
    if width <= 0 or height <= 0:
        return RawRow(location, bbox, fault=NO_AREA)
    crowd = _CROWD.get(_hashable(annotation.get("iscrowd")))
    if crowd is None:
        return RawRow(location, annotation.get("iscrowd"), fault=NO_CROWD_FLAG)
    area = annotation.get("area")
    is_area_usable = _is_number(area) and 0 < _to_float(area) < math.inf
    return RawRow(
        location,
        bbox,
        label=categories[category_id],
        box=(x, y, x + width, y + height),
        ignore=crowd,
        area=_to_float(area) if is_area_usable else math.nan,
        repair="" if is_area_usable or area is None else AREA_REPLACED,
    )


def _stated_size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    height, width = image.get("height"), image.get("width")
    if _is_number(height) and _is_number(width) and _is_size(height) and _is_size(width):
        return int(height), int(width)
    return None


def _is_size(value: float) -> bool:
    return 0 < value < _LARGEST_ID


def _is_file_name(value: object) -> TypeGuard[str]:
    """Tell whether a text can be the name of a file: not empty, no NUL, no half character."""
    if not isinstance(value, str) or not value or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return True


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _to_float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _is_id(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < _LARGEST_ID


_LARGEST_ID = 2**62
_CROWD = {
    None: False, 0: False, 1: True, "0": False, "1": True, "false": False, "true": True,
    "False": False, "True": True, "": False,
}  # fmt: skip
"""What tools write for iscrowd; true and false of JSON equal 1 and 0."""


def _hashable(value: Any) -> Any:
    plain = isinstance(value, int | float | str) or value is None
    return value if plain else shortened(repr(value))
