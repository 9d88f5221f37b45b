"""Where images and labels of a YOLO data set lie, and which files belong to no image."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

from configs.schema.data import YoloDataset
from data.formats.files import (
    SplitFiles,
    is_image_name,
    list_files,
    read_present,
    read_required,
    require_folder,
    to_text,
)
from data.label_report import Decision, decide
from utils.runtime.errors import UserError
from utils.runtime.printable import shortened
from utils.runtime.regular_file import is_regular

LISTED_TWICE = "image is listed more than once: used once"
NOT_AN_IMAGE_NAME = "not an image by its name: ignored"
ORPHAN_LABELS = "label file without image"
SHARED_LABELS = "images share one label file"

# Written by labelling tools beside the labels.
_CLASS_LIST = "classes.txt"


def label_path(image: str) -> str:
    """Return where the labels of an image are expected.

    The last folder named `images` in its path becomes `labels`, the last suffix becomes `.txt`.
    Without such a folder the labels lie beside the image.
    """
    folder, name = os.path.split(image)
    return os.path.join(_label_folder(folder), os.path.splitext(name)[0] + ".txt")


def find_yolo_files(dataset: YoloDataset, split: Literal["train", "val", "test"]) -> SplitFiles:
    """Return images, labels and notes on stray files of a split.

    Raises:
        UserError: a source is missing or holds no images, or none of the images has a label file.
    """
    key = f"data.{split}"
    sources = getattr(dataset, split) or ()
    root = Path(dataset.path)
    listed: list[str] = []
    lists: list[str] = []
    folders: list[str] = []
    notes: list[Decision] = []
    for source in (sources,) if isinstance(sources, str) else sources:
        path = Path(os.path.abspath(root / source))
        if path.suffix.lower() == ".txt":
            listed += _read_list(path, root, key)
            lists.append(str(path))
            continue
        folders.append(str(require_folder(path, key)))
        found, others = _apart(list_files(path))
        listed += found
        notes += _other_files(found, others)
    images = sorted(set(listed))
    if not images:
        raise UserError(f"{key}: no images in {sources} under {root}")
    expected = {image: label_path(image) for image in images}
    labels = read_present(expected.values())
    if not labels:
        raise UserError(
            f"{key}: none of the {len(images)} images has a label file; "
            f"the labels of {images[0]} are expected in {expected[images[0]]}"
        )
    notes += _listed_twice(listed) + _shared_labels(expected.values())
    notes += _orphan_labels(expected, folders, not_labels=lists)
    return SplitFiles(images=tuple(images), labels=labels, notes=tuple(notes))


@lru_cache(maxsize=1024)
def _label_folder(folder: str) -> str:
    parts = folder.split(os.sep)
    if "images" not in parts:
        return folder
    last = len(parts) - 1 - parts[::-1].index("images")
    return os.sep.join((*parts[:last], "labels", *parts[last + 1 :]))


def _read_list(path: Path, root: Path, key: str) -> list[str]:
    """Return the images a list names; relative ones lie beside the list, else under `root`."""
    images = []
    for line in to_text(read_required(path, key)).split("\n"):
        if line.strip():
            candidates = _candidates(line.strip(), path.parent, root)
            found = next(filter(is_regular, candidates), None)
            if found is None:
                _refuse_columns(path, key, line, (path.parent, root))
            images.append(found or candidates[0])
    return images


def _candidates(name: str, *folders: Path) -> list[str]:
    return [os.path.abspath(folder / name) for folder in folders]


def _refuse_columns(path: Path, key: str, line: str, folders: tuple[Path, Path]) -> None:
    """Raise UserError for a line that names an image and its labels side by side."""
    first, *others = line.split()
    if others and any(map(is_regular, _candidates(first, *folders))):
        raise UserError(
            f"{key}: {path} has several columns ({shortened(line.strip(), 80)}); a list has one "
            "image a line, its labels are found by its name"
        )


def _apart(files: Iterable[str]) -> tuple[list[str], list[str]]:
    """Return the images among the files, told by their names, and the others."""
    images: list[str] = []
    others: list[str] = []
    for path in files:
        (images if is_image_name(path) else others).append(path)
    return images, others


def _other_files(images: Iterable[str], others: Iterable[str]) -> list[Decision]:
    # Beside the images a .txt is a label file, and judged as one.
    strange = [path for path in others if not path.endswith(".txt") or label_path(path) != path]
    labels = set(map(label_path, images)) if strange else ()
    return [
        decide(path, "file", "", NOT_AN_IMAGE_NAME, "noted")
        for path in sorted(strange)
        if path not in labels
    ]


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
    expected: Mapping[str, str], folders: Sequence[str], not_labels: Sequence[str]
) -> list[Decision]:
    """Note the label files in the folders of this split's labels that no image claims.

    `expected`: where the labels of each image of the split lie. Images of other splits claim theirs
    too, so the folders are listed anew.
    """
    image_folders = {os.path.dirname(path) for path in expected}
    neighbours = (path for folder in image_folders for path in _files_in(folder))
    strangers = (path for path in neighbours if path not in expected and is_image_name(path))
    claimed = {*expected.values(), *map(label_path, strangers)}
    present = {path for folder in image_folders for path in _files_in(_label_folder(folder))}
    for folder in folders:
        present.update(list_files(Path(_label_folder(folder))))
    orphans = sorted(
        path
        for path in present - claimed - set(not_labels)
        if path.endswith(".txt") and os.path.basename(path) != _CLASS_LIST
    )
    return [
        decide(path, "file", f"{_count_rows(content)} rows", ORPHAN_LABELS, "noted")
        for path, content in read_present(orphans).items()
    ]


def _files_in(folder: str) -> list[str]:
    try:
        return [os.path.join(folder, name) for name in os.listdir(folder)]
    except OSError:
        return []


def _count_rows(content: bytes) -> int:
    return sum(bool(line.strip()) for line in to_text(content).split("\n"))
