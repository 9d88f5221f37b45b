"""COCO instances JSON: boxes `[x, y, width, height]` in pixels, categories mapped by name.

Ids may start at 0, have gaps, be in any order or be written as texts. How boxes deviate is in
`boxes.py`, how categories become classes in `categories.py`, writing in
`coco_writer.py`.
"""

import json
import math
import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from configs.reading.stated_paths import FileIndex, find_stated
from configs.schema.data import CocoDataset, CocoSplit
from data.formats.coco.boxes import (
    LARGEST_ID,
    Layout,
    find_layout,
    read_box,
    to_id,
    to_number,
    to_xyxy,
)
from data.formats.coco.categories import match_categories
from data.formats.coco.federated import MOST_ROWS, TOO_MANY, neutral_rows, states_checked
from data.formats.files import SplitFiles, list_images, read_required, require_folder
from data.formats.label_report import decide
from data.formats.rows import NO_AREA, RawImage, RawRow, RawSplit
from data.formats.sources import MOVED
from data.formats.writers.coco_writer import coco_document
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_atomically
from utils.runtime.files.json_file import parse_json
from utils.runtime.printable import shortened
from utils.structures.images import Record

NO_BOX = "bbox is not a list of four numbers"
UNKNOWN_IMAGE = "image_id is not in images"
UNKNOWN_CATEGORY = "category_id is not in categories"
AREA_REPLACED = "area is not a positive number: box area taken"
NAMED_TWICE = "several images have one file_name: all of them are used"
NO_CROWD_FLAG = "iscrowd is neither 0 nor 1"
LISTED_TWICE = "image id is listed more than once: first taken"
NORMALISED = "bbox is normalised: multiplied by the image size"
OTHER_ORDER = "bbox is read in another order than x, y, width, height"
IDS_REPLACED = "image ids are not 64-bit integers: positions in the file taken"


class CocoReader:
    """Reads one split of a COCO data set; image ids are those of the file, in rising order."""

    def __init__(self, dataset: CocoDataset, split: Literal["train", "val", "test"]) -> None:
        paths: CocoSplit = getattr(dataset, split)
        root = Path(dataset.path)
        self._dataset = dataset
        self._key = f"data.{split}"
        self._annotations = _located(paths.annotations, root)
        self._stated_images = paths.images
        self._images = _located(paths.images, root)

    def find(self) -> SplitFiles:
        """Return the JSON and all images of the folder; raises UserError if either is missing."""
        folder = require_folder(self._images, f"{self._key}.images")
        content = read_required(self._annotations, f"{self._key}.annotations")
        images = list_images(folder)
        return SplitFiles(images=tuple(images), labels={str(self._annotations): content})

    def read(self, files: SplitFiles) -> RawSplit:
        """Return the rows of every image of the JSON.

        Raises:
            UserError: the file is not a COCO JSON, an image has no usable id or name, a category
                with annotations is not in class_names, or boxes can be read in two ways.
        """
        document = self._parse(files.labels[str(self._annotations)])
        raw = RawSplit()
        categories = match_categories(
            document, self._dataset.class_names, self._annotations, raw.notes
        )
        raw.category_ids = categories.ids
        images = self._images_by_id(document["images"], raw)
        rows = self._rows_by_image(document["annotations"], categories.labels, images, raw)
        by_checks = self._may_fill(images, raw)
        index = FileIndex(files.images)
        number_of = self._numbers(images, raw)
        moved = 0
        for image_id in sorted(images, key=number_of.__getitem__):
            image = images[image_id]
            path, fault, is_moved = self._find_image(image["file_name"], index)
            if is_moved and not moved:
                raw.notes.append(decide(path, "image", image["file_name"], MOVED, "noted"))
            moved += is_moved
            own, size = rows[image_id], stated_size(image)
            neutral = neutral_rows(image, categories.labels, own, size, by_checks=by_checks)
            raw.images.append(
                RawImage(
                    path=path,
                    image_id=number_of[image_id],
                    rows=(*own, *neutral),
                    label_file=str(self._annotations),
                    is_normalised=self._layout.is_normalised,
                    stated_size=size,
                    fault=fault,
                )
            )
        self._require_images(raw, index)
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
            class_names=self._dataset.class_names,
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
                    f"'{key}' must be a list of objects; if it is of another tool, give its "
                    "folder: data=FOLDER"
                )
        return dict(document)

    def _images_by_id(
        self, entries: Sequence[dict[str, Any]], raw: RawSplit
    ) -> dict[int | str, dict[str, Any]]:
        images: dict[int | str, dict[str, Any]] = {}
        names: dict[str, list[int | str]] = defaultdict(list)
        for entry in entries:
            image_id = to_id(entry.get("id"))
            name = entry.get("file_name") or entry.get("coco_url") or entry.get("filename")
            if image_id is None or not isinstance(name, str):
                raise UserError(
                    f"{self._annotations}: every image needs an 'id' and a 'file_name', "
                    f"got {shortened(repr(entry.get('id')), 60)} and {shortened(repr(name), 60)}"
                )
            if image_id in images:
                note = decide(self._annotations, f"image {image_id}", name, LISTED_TWICE, "noted")
                raw.notes.append(note)
                continue
            images[image_id] = {**entry, "file_name": name}
            names[name].append(image_id)
        if not images:
            raise UserError(f"{self._key}: {self._annotations} lists no images")
        for name, ids in names.items():
            if len(ids) > 1:
                note = decide(self._annotations, f"image {ids[1]}", name, NAMED_TWICE, "noted")
                raw.notes.append(note)
        return images

    def _numbers(self, images: Mapping[int | str, Any], raw: RawSplit) -> dict[int | str, int]:
        """Return the image id of each id in the file: itself, where all are numbers."""
        if all(isinstance(key, int) and abs(key) < LARGEST_ID for key in images):
            return {key: key for key in images if isinstance(key, int)}
        first = next(iter(images))
        raw.notes.append(decide(self._annotations, "file", first, IDS_REPLACED, "noted"))
        return {key: position for position, key in enumerate(images)}

    def _may_fill(self, images: Mapping[int | str, dict[str, Any]], raw: RawSplit) -> bool:
        """Tell whether classes that were not checked in an image become neutral there.

        In training neutral rows change nothing, and they would be many.
        """
        if self._key == "data.train" or not states_checked(images.values()):
            return False
        is_little = len(images) * len(self._dataset.class_names) <= MOST_ROWS
        if not is_little:
            raw.notes.append(decide(self._annotations, "file", len(images), TOO_MANY, "noted"))
        return is_little

    def _find_image(self, name: str, index: FileIndex) -> tuple[str, str, bool]:
        """Return the path of an image, its fault and whether it is elsewhere than given."""
        if not _is_file_name(name):
            shown = shortened(repr(name), 60)
            return str(self._images), f"no file can have its name {shown}", False
        plain = os.path.normpath(self._images / name)
        if plain in index:
            return plain, "", False
        if found := index.find(name):
            return found, "", True
        if len(alike := index.named_alike(name)) > 1:
            places = " and ".join(shortened(path, 80) for path in alike[:2])
            return plain, f"several files have its name: {places}", False
        return plain, "", False

    def _require_images(self, raw: RawSplit, index: FileIndex) -> None:
        """Raise UserError if no image of the JSON exists."""
        paths = [image.path for image in raw.images]
        if not any(path in index or os.path.exists(path) for path in paths):
            why = f"is below {self._images}, e.g. {paths[0]}; put the images there, or"
            if raw.images[0].fault:
                why = f"is found: {Path(paths[0]).name}: {raw.images[0].fault};"
            raise UserError(
                f"{self._key}: none of the {len(paths)} images of {self._annotations} {why} set "
                f"their folder as {self._key}.images in a data YAML"
            )

    def _rows_by_image(
        self,
        annotations: Sequence[dict[str, Any]],
        categories: Mapping[Any, int],
        images: Mapping[int | str, Any],
        raw: RawSplit,
    ) -> dict[int | str, list[RawRow]]:
        boxes = [read_box(annotation) for annotation in annotations]
        self._layout = self._find_layout(annotations, boxes, images, raw)
        rows: dict[int | str, list[RawRow]] = defaultdict(list)
        for position, (annotation, box) in enumerate(zip(annotations, boxes, strict=True)):
            location = f"annotation {annotation.get('id', f'at position {position}')}"
            image_id = to_id(annotation.get("image_id"))
            if image_id is None or image_id not in images:
                value = annotation.get("image_id")
                stray = decide(self._annotations, location, value, UNKNOWN_IMAGE, "rejected")
                raw.stray_rows.append(stray)
                continue
            row = _parse_annotation(location, annotation, box, categories, self._layout)
            rows[image_id].append(row)
        return rows

    def _find_layout(
        self,
        annotations: Sequence[dict[str, Any]],
        boxes: Sequence[tuple[Sequence[float] | None, str]],
        images: Mapping[int | str, Any],
        raw: RawSplit,
    ) -> Layout:
        sizes = {key: stated_size(image) for key, image in images.items()}
        known = [
            (box, sizes.get(to_id(annotation.get("image_id")) or 0))
            for annotation, (box, repair) in zip(annotations, boxes, strict=True)
            if box is not None and not repair.startswith("no bbox")
        ]
        layout, question = find_layout(
            [box for box, _ in known], [size for _, size in known], self._dataset.boxes
        )
        if question:
            raise UserError(
                f"{self._annotations}: {question}; set data.boxes=xywh (corner and size), xyxy "
                "(two corners) or cxcywh (centre and size)"
            )
        for reason, holds in (
            (NORMALISED, layout.is_normalised),
            (OTHER_ORDER, layout.order != "xywh"),
        ):
            if holds:
                raw.notes.append(decide(self._annotations, "file", layout.order, reason, "noted"))
        return layout


def _located(stated: str, root: Path) -> Path:
    found = find_stated(stated, root)
    return Path(found.path if found else os.path.abspath(root / stated))


def _parse_annotation(
    location: str,
    annotation: Mapping[str, Any],
    found: tuple[Sequence[float] | None, str],
    categories: Mapping[Any, int],
    layout: Layout,
) -> RawRow:
    category_id, bbox = to_id(annotation.get("category_id")), annotation.get("bbox")
    box, repair = found
    if category_id is None or category_id not in categories:
        return RawRow(location, annotation.get("category_id"), fault=UNKNOWN_CATEGORY)
    if box is None:
        return RawRow(location, bbox, fault=NO_BOX)
    is_segment = repair.startswith("no bbox")
    corners = to_xyxy(box, "xywh" if is_segment else layout.order)
    if is_segment and layout.is_normalised:
        return RawRow(location, bbox, fault=NO_BOX)
    if corners[2] <= corners[0] or corners[3] <= corners[1]:
        return RawRow(location, bbox, fault=NO_AREA)
    crowd = _CROWD.get(_hashable(annotation.get("iscrowd")))
    if crowd is None:
        return RawRow(location, annotation.get("iscrowd"), fault=NO_CROWD_FLAG)
    area = to_number(annotation.get("area"))
    is_area_usable = area is not None and 0 < area < math.inf
    is_replaced = not is_area_usable and annotation.get("area") is not None
    return RawRow(
        location,
        bbox,
        label=categories[category_id],
        box=corners,
        ignore=crowd,
        area=area if area is not None and is_area_usable else math.nan,
        repair="; ".join(filter(None, (repair, AREA_REPLACED * is_replaced))),
    )


def stated_size(image: Mapping[str, Any]) -> tuple[int, int] | None:
    """Return (height, width) of an entry of images; None where they are missing or no sizes."""
    height, width = to_number(image.get("height")), to_number(image.get("width"))
    if height is None or width is None or not (_is_size(height) and _is_size(width)):
        return None
    return int(height), int(width)


def _is_size(value: float) -> bool:
    return 1 <= value < LARGEST_ID


def _is_file_name(value: str) -> bool:
    """Tell whether a text can be the name of a file: no NUL, no half character."""
    try:
        return "\0" not in value and bool(os.fsencode(value))
    except UnicodeEncodeError:
        return False


_CROWD = {
    None: False, 0: False, 1: True, "0": False, "1": True, "false": False, "true": True,
    "False": False, "True": True, "": False,
}  # fmt: skip
"""Values of iscrowd; true and false of JSON equal 1 and 0."""


def _hashable(value: Any) -> Any:
    plain = isinstance(value, int | float | str) or value is None
    return value if plain else shortened(repr(value))
