"""Pascal VOC: one XML per image, a list of image names per split.

Writing is in `voc_writer.py`.
"""

import math
import os
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from configs.reading.stated_paths import FileIndex, find_stated, portable
from configs.schema.data import VocDataset
from data.formats.files import (
    SplitFiles,
    list_files,
    list_images,
    read_present,
    read_required,
    require_folder,
    to_text,
    without_suffix,
    write_list,
)
from data.formats.label_report import decide
from data.formats.rows import NO_AREA, NOT_FINITE, RawImage, RawRow, RawSplit, to_float
from utils.runtime.errors import UserError
from utils.runtime.printable import shortened
from utils.structures.images import Record

BROKEN_XML = "XML cannot be parsed: counts as one rejected row"
NOT_VOC = "not a VOC annotation: counts as one rejected row"
NO_DIFFICULT = "difficult is neither 0 nor 1"
NO_BOX = "bndbox does not have four numbers"
NO_XML = "image without XML: taken as background"
DIFFICULT = "object is flagged difficult"
WRONG_NAME = "<filename> names another file: image found by the name of the XML"
LISTED_TWICE = "image is listed more than once: used once"
NO_IMAGE = "no such file"
FROM_ZERO = "coordinates count from 0 (data.first_pixel): a corner at 0, or decimals"

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


class VocReader:
    """Reads one split of a VOC data set; image ids are positions in the sorted split, from 0.

    first_pixel 1: xmin and ymin count pixels from 1, so x1 = xmin - 1 and x2 = xmax; 0: all four
    are edges; auto: 0 where a corner at 0 or decimals prove it, else 1. xmin == xmax is rejected in
    both: read inclusively it would be one pixel wide, but in practice it is a click that was never
    dragged to a box.
    """

    def __init__(self, dataset: VocDataset, split: Literal["train", "val", "test"]) -> None:
        root = Path(dataset.path)
        self._dataset = dataset
        self._key = f"data.{split}"
        self._list = Path(os.path.abspath(root / getattr(dataset, split)))
        self._images = _located(dataset.images, root)
        self._annotations = _located(dataset.annotations, root)
        self._index = {name: label for label, name in enumerate(dataset.class_names)}
        self._first_pixel = 0

    def find(self) -> SplitFiles:
        """Return images, XML files and the list; raises UserError for what is missing or empty."""
        is_folder = self._list.is_dir()
        lists = {} if is_folder else {str(self._list): self._read_list()}
        images = list_images(require_folder(self._images, "data.images"))
        require_folder(self._annotations, "data.annotations")
        if is_folder:
            names = self._names_in_folder()
        else:
            names = self._names(lists[str(self._list)], self._image_by_name(images))
        if not names:
            raise UserError(f"{self._key}: {self._list} names no images")
        labels = read_present(map(self._xml_path, names))
        if not labels:
            raise UserError(
                f"{self._key}: none of the {len(names)} images has an XML file; "
                f"that of {names[0]} is expected in {self._xml_path(names[0])}"
            )
        return SplitFiles(images=tuple(images), labels={**lists, **labels})

    def read(self, files: SplitFiles) -> RawSplit:
        """Return the objects of every listed image; one without XML is background."""
        raw = RawSplit(category_ids=tuple(range(len(self._index))))
        images = self._image_by_name(files.images)
        index = FileIndex(files.images)
        if str(self._list) in files.labels:
            listed = Counter(self._names(files.labels[str(self._list)], images))
        else:
            listed = Counter(self._names_in_folder())
        roots = {path: parse_xml(content) for path, content in files.labels.items()}
        self._first_pixel = self._find_first_pixel(roots, raw)
        for image_id, (name, times) in enumerate(sorted(listed.items())):
            if times > 1:
                note = decide(self._list, f"image {name}", f"{times} times", LISTED_TWICE, "noted")
                raw.notes.append(note)
            xml_path = self._xml_path(name)
            parsed = roots.get(xml_path)
            image_path = (
                images.get(name)
                or index.find_stem(name)
                or index.find_nearest(xml_path)
                or _by_file_name(parsed, index)
            )
            image = RawImage(
                path=image_path or str(self._images / name),
                image_id=image_id,
                rows=(),
                label_file=xml_path if xml_path in files.labels else "",
                fault="" if image_path else f"{NO_IMAGE} with an image suffix",
            )
            raw.images.append(self._with_objects(image, parsed, raw))
        return raw

    def write_part(
        self, records: Sequence[Record], category_ids: Sequence[int], path: Path
    ) -> object:
        """Write a list of image names; return where it is."""
        return write_list(self._image_by_name(record.path for record in records), path)

    def _read_list(self) -> bytes:
        if not self._list.exists():
            raise UserError(
                f"{self._key}: {self._list} does not exist; set {self._key} to a list of image "
                "names or as a folder, whose XML files are then all read"
            )
        return read_required(self._list, self._key)

    def _names_in_folder(self) -> list[str]:
        files = (path for path in list_files(self._list) if path.lower().endswith(".xml"))
        return sorted(
            Path(os.path.relpath(without_suffix(path), self._annotations)).as_posix()
            for path in files
        )

    def _find_first_pixel(
        self, roots: Mapping[str, ElementTree.Element | str], raw: RawSplit
    ) -> Literal[0, 1]:
        stated = self._dataset.first_pixel
        if stated != "auto":
            return stated
        for path, parsed in roots.items():
            proof = _counts_from_zero(parsed)
            if proof:
                raw.notes.append(decide(path, "file", proof, FROM_ZERO, "noted"))
                return 0
        return 1

    def _image_by_name(self, images: Iterable[str]) -> dict[str, str]:
        return {
            Path(os.path.relpath(without_suffix(path), self._images)).as_posix(): path
            for path in images
        }

    def _xml_path(self, name: str) -> str:
        return os.path.normpath(self._annotations / f"{name}.xml")

    @staticmethod
    def _names(content: bytes, images: Mapping[str, str]) -> list[str]:
        """Return the names of a list; per-class lists flag each name with -1, 0 or 1."""
        names = []
        for line in filter(None, map(str.strip, to_text(content).split("\n"))):
            unflagged = re.sub(r"\s+(-1|0|1)$", "", line)
            candidates = (line, without_suffix(line), unflagged)
            names.append(next((name for name in candidates if name in images), unflagged))
        return names

    def _with_objects(self, image: RawImage, parsed: "_Parsed", raw: RawSplit) -> RawImage:
        if parsed is None:
            raw.notes.append(decide(image.path, "image", "", NO_XML, "noted"))
            return image
        if isinstance(parsed, str):
            stray = decide(image.label_file, "file", parsed, BROKEN_XML, "rejected")
            raw.stray_rows.append(stray)
            return replace(image, fault=f"its XML cannot be parsed ({parsed})")
        strays = _stray_objects(parsed)
        if parsed.tag != "annotation" or strays:
            place = f"<{shortened(parsed.tag, 60)}>" if parsed.tag != "annotation" else "objects"
            raw.stray_rows.append(decide(image.label_file, "file", place, NOT_VOC, "rejected"))
            return replace(image, fault=f"not a VOC annotation ({place} in another place)")
        stated_name = portable(parsed.findtext("filename") or "")
        if stated_name and without_suffix(Path(stated_name).name) != without_suffix(
            Path(image.path).name
        ):
            note = decide(image.label_file, "file", stated_name, WRONG_NAME, "noted")
            raw.notes.append(note)
        objects = enumerate(parsed.findall("object"), start=1)
        rows = tuple(self._parse_object(f"object {number}", item) for number, item in objects)
        return replace(image, rows=rows, stated_size=_stated_size(parsed))

    def _parse_object(self, location: str, item: ElementTree.Element) -> RawRow:
        name = (item.findtext("name") or "").strip()
        texts = [(item.findtext(f"bndbox/{corner}") or "").strip() for corner in _CORNERS]
        value = " ".join((name, *texts))

        def reject(fault: str) -> RawRow:
            return RawRow(location, value, fault=fault)

        if name not in self._index:
            return reject(f"class {name!r} is not in class_names")
        stated = (item.findtext("difficult") or "").strip()
        is_difficult = _DIFFICULT.get(stated.lower())
        if is_difficult is None:
            return RawRow(location, stated, fault=NO_DIFFICULT)
        if is_difficult and self._dataset.difficult == "reject":
            return reject(DIFFICULT)
        try:
            x1, y1, x2, y2 = map(to_float, texts)
        except ValueError:
            return reject(NO_BOX)
        if not all(map(math.isfinite, (x1, y1, x2, y2))):
            return reject(NOT_FINITE)
        if x2 <= x1 or y2 <= y1:
            return reject(NO_AREA)
        first = self._first_pixel
        return RawRow(
            location,
            value,
            label=self._index[name],
            box=(x1 - first, y1 - first, x2, y2),
            ignore=is_difficult and self._dataset.difficult == "ignore",
        )


_Parsed = ElementTree.Element | str | None
"""The root of an XML file, the reason why there is none, or no file."""


def parse_xml(content: bytes) -> ElementTree.Element | str:
    """Return the root, or why the text is not XML.

    Windows tools write the system's encoding without declaring it; Chinese ones are common.
    """
    error: Exception | None = None
    for text in _readings(content):
        try:
            return _without_namespaces(ElementTree.fromstring(text))
        except (ElementTree.ParseError, ValueError, LookupError) as failure:
            error = error or failure
    return str(error)


def names_in_xml(content: bytes) -> list[str]:
    """Return the class names in an XML file; none where it cannot be parsed."""
    root = parse_xml(content)
    if isinstance(root, str):
        return []
    return [
        name for item in root.findall("object") if (name := (item.findtext("name") or "").strip())
    ]


def _readings(content: bytes) -> Iterator[bytes | str]:
    yield content
    is_stated = b"encoding" in content[:100]
    if not is_stated and not content.isascii():
        try:
            yield content.decode("gb18030")
        except UnicodeDecodeError:
            yield content.decode("latin-1")


def _counts_from_zero(parsed: ElementTree.Element | str) -> str:
    """Return a corner that proves that coordinates count from 0, "" if there is none."""
    if isinstance(parsed, str):
        return ""
    for item in parsed.findall("object"):
        texts = [(item.findtext(f"bndbox/{corner}") or "").strip() for corner in _CORNERS]
        try:
            corners = list(map(to_float, texts))
        except ValueError:
            continue
        if 0 in corners[:2] or not all(map(float.is_integer, corners)):
            return " ".join(texts)
    return ""


def _by_file_name(parsed: _Parsed, index: FileIndex) -> str | None:
    if parsed is None or isinstance(parsed, str):
        return None
    return index.find(parsed.findtext("filename") or "")


def _located(stated: str, root: Path) -> Path:
    found = find_stated(stated, root)
    return Path(found.path if found else os.path.abspath(root / stated))


_DIFFICULT = {
    "": False, "0": False, "1": True, "false": False, "true": True, "no": False, "yes": True,
    "unspecified": False,
}  # fmt: skip
"""Values of `difficult`; "Unspecified" is the default of several tools."""


def _without_namespaces(root: ElementTree.Element) -> ElementTree.Element:
    """Return the tree with plain names: `{http://...}object` becomes `object`."""
    for element in root.iter():
        if isinstance(element.tag, str):
            element.tag = element.tag.rpartition("}")[2]
    return root


def _stray_objects(root: ElementTree.Element) -> int:
    """Return the number of objects, or boxes without one, at places where VOC has none."""
    own = root.findall("object")
    boxes = sum(len(item.findall("bndbox")) for item in own)
    parts = sum(len(item.findall("part/bndbox")) for item in own)
    objects = sum(1 for _ in root.iter("object"))
    all_boxes = sum(1 for _ in root.iter("bndbox"))
    return objects - len(own) + all_boxes - boxes - parts


def _stated_size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return (height, width); None where it is missing or, as often, written as 0."""
    try:
        height, width = (int(root.findtext(f"size/{side}") or 0) for side in ("height", "width"))
    except (ValueError, OverflowError):
        return None
    return (height, width) if height > 0 and width > 0 else None
