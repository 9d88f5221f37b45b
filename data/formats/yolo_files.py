"""Where images and labels of a YOLO data set lie, and which files belong to no image."""

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
from data.formats.yolo_labels import files_in, label_folder, label_path, pair
from utils.runtime.errors import UserError

__all__ = ["find_yolo_files", "label_path"]

LISTED_TWICE = "image is listed more than once: used once"
NOT_AN_IMAGE_NAME = "not an image by its name: ignored"
ORPHAN_LABELS = "label file without image"
SHARED_LABELS = "images share one label file"
UNUSUAL_PLACE = "labels lie where they are not expected: taken"

# Written by labelling tools beside the labels.
_CLASS_LISTS = frozenset({"classes.txt", "obj.names", "_darknet.labels", "labels.txt"})
_LABEL_ROW = re.compile(r"\s*[-+.\d]+(?:[ \t,;]+[-+.\deE]+){4,}")


def find_yolo_files(dataset: YoloDataset, split: Literal["train", "val", "test"]) -> SplitFiles:
    """Return images, labels and notes on stray files of a split.

    Raises:
        UserError: a source is missing or holds no images, or none of the images has a label file.
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
    """Say where labels are expected and, where label files of other formats lie there, how to read
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
                f"{text}; {suffixes[suffix]} {suffix} files lie there: give the folder itself, "
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
    """Return the label files in the folders of this split's labels that no image claims.

    Images of other splits claim theirs too, so the folders are listed anew.
    """
    image_folders = {path.rpartition(os.sep)[0] for path in images}
    present = {path for folder in image_folders for path in files_in(label_folder(folder))}
    present.update(sources.others)
    for folder in sources.folders:
        present.update(list_files(Path(label_folder(folder))))
    present -= {*label_of.values(), *sources.lists}
    if not present:  # as in nearly every data set: at each start, all names would be taken apart
        return ()
    known = set(images)
    neighbours = (path for folder in image_folders for path in files_in(folder))
    strangers = [path for path in neighbours if path not in known and is_image_name(path)]
    unlabelled = [image for image in images if image not in label_of]
    claimed = {*map(label_path, unlabelled), *map(label_path, strangers)}
    claimed |= {os.path.splitext(path)[0] + ".txt" for path in (*known, *strangers)}
    orphans = sorted(
        path
        for path in present - claimed
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


def _count_rows(content: bytes) -> int:
    """Return how many lines look like label rows; a text about the data set has none."""
    return sum(bool(_LABEL_ROW.match(line)) for line in to_text(content).split("\n"))
