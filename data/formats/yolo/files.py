"""Find images and labels of a YOLO data set, and label files without an image."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from configs.schema.data import YoloDataset
from data.formats.files import SplitFiles, is_image_name, list_files, read_present, to_text
from data.formats.label_report import Decision, decide
from data.formats.sources import Sources, explain_no_images, require_images
from data.formats.yolo.labels import files_in, label_folder, label_path, pair
from utils.runtime.errors import UserError

__all__ = ["find_yolo_files", "label_path"]

LISTED_TWICE = "image is listed more than once: used once"
NOT_AN_IMAGE_NAME = "not an image by its name: ignored"
ORPHAN_LABELS = "label file without image"
SHARED_LABELS = "images share one label file"
UNUSUAL_PLACE = "labels are not at the expected place: taken"

# Written by labelling tools beside the labels.
_CLASS_LISTS = frozenset({"classes.txt", "obj.names", "_darknet.labels", "labels.txt"})
_LABEL_ROW = re.compile(r"\s*[-+.\d]+(?:[ \t,;]+[-+.\deE]+){4,}")


def find_yolo_files(dataset: YoloDataset, split: Literal["train", "val", "test"]) -> SplitFiles:
    """Return images, labels and notes on stray files of a split.

    Raises:
        UserError: a source is missing or contains no images, or none of the images has a label
            file.
    """
    key = f"data.{split}"
    sources = Sources(dataset, split)
    images = sorted(set(sources.images))
    if not images:
        raise UserError(f"{key}: {explain_no_images(sources, Path(dataset.path))}")
    labels, label_of, unusual = pair(images)
    if not labels:
        require_images(images, key)
    if not labels and dataset.unlabelled == "refuse":
        raise UserError(f"{key}: {_explain_no_labels(images)}")
    notes = [*sources.notes, *_other_files(sources.others, labels)]
    notes += _listed_twice(sources.images) + _shared_labels(label_of.values())
    notes += [decide(label, "file", "", UNUSUAL_PLACE, "noted") for label in unusual]
    return SplitFiles(
        images=tuple(images),
        labels=labels,
        notes=tuple(notes),
        label_of=label_of,
        stray_rows=_orphan_labels(images, label_of, sources),
    )


def _explain_no_labels(images: Sequence[str]) -> str:
    """Say where labels are expected and, where label files of other formats are there, how to read
    them.
    """
    text = (
        f"none of the {len(images)} images has a label file; "
        f"the labels of {images[0]} are expected in {label_path(images[0])}"
    )
    folder = os.path.dirname(images[0])
    suffixes = Counter(
        os.path.splitext(path)[1].lower()
        for place in {folder, label_folder(folder), os.path.dirname(folder)}
        for path in files_in(place)
    )
    for suffix in (".xml", ".json", ".csv"):
        if suffixes[suffix]:
            return (
                f"{text}; {suffixes[suffix]} {suffix} files are there: give the folder itself, "
                f"data={os.path.dirname(folder)}, to have its format recognised"
            )
    return (
        f"{text}; if they are in the format of another tool, give its folder: data=FOLDER; if none "
        "shows an object, set data.unlabelled=background"
    )


def _other_files(others: Iterable[str], labels: Mapping[str, bytes]) -> list[Decision]:
    return [
        decide(path, "file", "", NOT_AN_IMAGE_NAME, "noted")
        for path in sorted(others)
        if path not in labels and not _is_class_list(path) and not path.lower().endswith(".txt")
    ]


def _is_class_list(path: str) -> bool:
    return os.path.basename(path) in _CLASS_LISTS


def _listed_twice(listed: Iterable[str]) -> list[Decision]:
    return [
        decide(path, "image", f"{count} times", LISTED_TWICE, "noted")
        for path, count in sorted(Counter(listed).items())
        if count > 1
    ]


def _shared_labels(labels: Iterable[str]) -> list[Decision]:
    return [
        decide(path, "file", f"{count} images", SHARED_LABELS, "noted")
        for path, count in sorted(Counter(labels).items())
        if count > 1
    ]


def _orphan_labels(
    images: Sequence[str], label_of: Mapping[str, str], sources: Sources
) -> tuple[tuple[Decision, int], ...]:
    """Return the label files in the folders of this split's labels that belong to no image."""
    present = _label_folder_files(images, sources) - {*label_of.values(), *sources.lists}
    if not present:  # as in nearly every data set: else all names would be split at each start
        return ()
    orphans = sorted(
        path
        for path in present - _labels_of_images(images, label_of)
        if path.lower().endswith(".txt") and not _is_class_list(path)
    )
    counted = [(path, _count_rows(content)) for path, content in read_present(orphans).items()]
    return tuple(
        (
            decide(path, "file", f"{number} row{'s' * (number > 1)}", ORPHAN_LABELS, "rejected"),
            number,
        )
        for path, number in counted
        if number
    )


def _labels_of_images(images: Sequence[str], label_of: Mapping[str, str]) -> set[str]:
    """Return the label files of the split's images and of their neighbours in other splits."""
    known = set(images)
    neighbours = {path for folder in _folders(images) for path in files_in(folder)}
    others = {path for path in neighbours - known if is_image_name(path)}
    without = {path for path in images if path not in label_of}
    beside = {os.path.splitext(path)[0] + ".txt" for path in known | others}
    return {*label_of.values(), *map(label_path, without | others), *beside}


def _label_folder_files(images: Sequence[str], sources: Sources) -> set[str]:
    """Return all files in the label folders of the images, and the other files of the sources."""
    files = {path for folder in _folders(images) for path in files_in(label_folder(folder))}
    for folder in sources.folders:
        files.update(list_files(Path(label_folder(folder))))
    return files.union(sources.others)


def _folders(images: Sequence[str]) -> set[str]:
    return {os.path.dirname(path) for path in images}


def _count_rows(content: bytes) -> int:
    """Return the number of lines that look like label rows; a readme has none."""
    return sum(bool(_LABEL_ROW.match(line)) for line in to_text(content).split("\n"))
