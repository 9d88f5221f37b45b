"""Find images and labels of a YOLO data set, and label files without an image.

Where the labels of an image are expected, says `label_path`. If that file does not exist,
unambiguous deviations of exports are tried: labels beside the images, `Labels` beside `Images`,
`x.jpg.txt`, `x.TXT`, or a name whose accents are encoded in another way. Each is taken only if
exactly one file fits.
"""

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from configs.schema.data import YoloDataset
from data.formats.files import SplitFiles, is_image_name, list_files, read_present, to_text
from data.formats.label_report import Decision, decide
from data.formats.sources import Sources, explain_no_images, require_images
from utils.runtime.errors import UserError

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


def label_path(image: str) -> str:
    """Return where the labels of an image are expected.

    The last folder named `images` in its path becomes `labels`, the last suffix becomes `.txt`.
    Without such a folder the labels are beside the image.
    """
    # Called for every image at every start: os.path.split and join would double its time.
    folder, separator, name = image.rpartition(os.sep)
    return f"{label_folder(folder)}{separator}{os.path.splitext(name)[0]}.txt"


@lru_cache(maxsize=1024)
def label_folder(folder: str) -> str:
    """Return the folder of the labels of images in `folder`."""
    parts = folder.split(os.sep)
    if "images" not in parts:
        return folder
    last = len(parts) - 1 - parts[::-1].index("images")
    return os.sep.join((*parts[:last], "labels", *parts[last + 1 :]))


def pair(images: Iterable[str]) -> tuple[dict[str, bytes], dict[str, str], list[str]]:
    """Return the contents of the label files that exist, and the label file of each image.

    An image without one has no entry. The list holds the label files that are taken though they
    lie where none is expected.
    """
    expected = {image: label_path(image) for image in images}
    contents = read_present(expected.values())
    label_of = {image: label for image, label in expected.items() if label in contents}
    missing = [image for image in expected if image not in label_of]
    if not missing:
        return contents, label_of, []
    elsewhere = _find_elsewhere(missing)
    more = read_present(elsewhere.values())
    found = {image: label for image, label in elsewhere.items() if label in more}
    return contents | more, label_of | found, list(found.values())


def _find_elsewhere(images: Iterable[str]) -> Mapping[str, str]:
    listings: dict[str, dict[str, list[str]]] = {}
    found = {}
    for image in images:
        folder, name = os.path.split(image)
        for place in (label_folder(folder), *_other_folders(folder), folder):
            if place not in listings:
                listings[place] = _label_files(place)
            wanted = (_folded(os.path.splitext(name)[0] + ".txt"), _folded(f"{name}.txt"))
            found_there = [path for key in wanted for path in listings[place].get(key, ())]
            fitting = [path for path in found_there if path != image]
            if len(fitting) == 1:
                found[image] = fitting[0]
                break
    return found


@lru_cache(maxsize=1024)
def _other_folders(folder: str) -> tuple[str, ...]:
    """Return folders like `Labels` where the images are in `Images`."""
    parts = folder.split(os.sep)
    at = [index for index, part in enumerate(parts) if part.lower() == "images"]
    if not at:
        return ()
    above, below = os.sep.join(parts[: at[-1]]) or os.sep, parts[at[-1] + 1 :]
    try:
        names = [name for name in os.listdir(above) if name.lower() in ("labels", "label")]
    except OSError:
        return ()
    return tuple(os.path.join(above, name, *below) for name in sorted(names))


def _label_files(folder: str) -> dict[str, list[str]]:
    files: dict[str, list[str]] = {}
    for path in files_in(folder):
        if path.lower().endswith(".txt"):
            files.setdefault(_folded(os.path.basename(path)), []).append(path)
    return files


def files_in(folder: str) -> Iterator[str]:
    """Yield the paths in a folder; nothing where there is none."""
    try:
        names = os.listdir(folder)
    except OSError:
        return
    start = os.path.join(folder, "")
    yield from (f"{start}{name}" for name in names)


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
