"""The images that a split names: folders, lists of paths, or several of them."""

import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from configs.reading.stated_paths import FileIndex, Found, find_stated, parts_of, portable
from configs.schema.data import ToolDataset, YoloDataset
from data.formats.files import is_image_name, list_files, list_images, read_required, to_text
from data.formats.label_report import Decision, decide
from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import is_regular
from utils.runtime.printable import shortened

MOVED = "path does not exist as given: found in the data set's present folder"
_SPLITS = ("train", "val", "test")
_INLINE_BOXES = re.compile(r"\.\w{3,4}\s+\d+(?:\.\d+)?,\d")


class Sources:
    """Images, other files, lists and folders that a split names, and notes on where they were."""

    def __init__(
        self, dataset: YoloDataset | ToolDataset, split: Literal["train", "val", "test"]
    ) -> None:
        self._key = f"data.{split}"
        self._root = Path(dataset.path)
        self._known: FileIndex | None = None
        self.images: list[str] = []
        self.others: list[str] = []
        self.lists: list[str] = []
        self.folders: list[str] = []
        self.notes: list[Decision] = []
        self.stated = stated_sources(dataset, split)
        for path in resolve_sources(dataset, split, self.notes):
            if path.lower().endswith(".txt"):
                self.lists.append(path)
                self.images += self._read_list(Path(path))
            else:
                self.folders.append(path)
                for file in list_files(Path(path)):
                    (self.images if is_image_name(file) else self.others).append(file)

    def _read_list(self, path: Path) -> list[str]:
        """Return the images a list names; relative ones are beside the list, else in the root."""
        lines = to_text(read_required(path, self._key)).split("\n")
        moved: dict[str, str] = {}
        images = [self._find_line(line, path, moved) for line in lines if _names_something(line)]
        for before, after in list(moved.items())[:1]:
            self.notes.append(decide(path, "file", f"{before} -> {after}", MOVED, "noted"))
        return images

    def _find_line(self, line: str, path: Path, moved: dict[str, str]) -> str:
        """Return the image of a line; if it is missing, its expected path.

        Lines of one folder mostly moved together, so the first answer is tried for the others.
        """
        if _INLINE_BOXES.search(line):
            raise UserError(
                f"{self._key}: {shortened(path)} has boxes behind the image names, which is "
                "not read; write one label file per image, or convert the list with its tool"
            )
        stated = line.strip().replace("\0", "\ufffd")  # a name that no file has
        folder, name = os.path.split(portable(stated))
        if folder in moved and is_regular(place := os.path.join(moved[folder], name)):
            return place
        for root in dict.fromkeys((path.parent, self._root)):
            plain = os.path.abspath(root / stated)
            if is_regular(plain):
                return plain
        found = self._find_moved(stated, path.parent)
        if found is None:
            self._refuse_columns(line, path)
            return os.path.abspath(path.parent / stated)
        moved[folder] = os.path.dirname(found)
        return found

    def _refuse_columns(self, line: str, path: Path) -> None:
        """Raise UserError for a line that names an image and its labels side by side."""
        first, *others = line.split()
        folders = (path.parent, self._root)
        if others and any(is_regular(os.path.abspath(folder / first)) for folder in folders):
            raise UserError(
                f"{self._key}: {shortened(path)} has several columns "
                f"({shortened(line.strip(), 80)}); a list has one image a line, its labels are "
                "found by its name"
            )

    def _find_moved(self, stated: str, folder: Path) -> str | None:
        for root in dict.fromkeys((folder, self._root)):
            if found := find_stated(stated, root, may_leave=False, exists=os.path.isfile):
                return found.path
        if self._known is None:
            self._known = FileIndex(list_images(self._root))
        return self._known.find(stated) or self._known.find_stem(stated)


def _names_something(line: str) -> bool:
    """Tell whether a line of a list is neither blank nor a comment."""
    text = line.strip()
    return bool(text) and not (text.startswith("#") and not is_image_name(text))


def stated_sources(
    dataset: YoloDataset | ToolDataset, split: Literal["train", "val", "test"]
) -> tuple[str, ...]:
    """Return the sources of a split as given in the settings."""
    stated = getattr(dataset, split)
    if isinstance(stated, str):
        return (stated,)
    return stated if isinstance(stated, tuple) else ()


def resolve_sources(
    dataset: YoloDataset | ToolDataset,
    split: Literal["train", "val", "test"],
    notes: list[Decision],
) -> list[str]:
    """Return where the sources of a split are; notes where that is not as given.

    Raises:
        UserError: one does not exist, or cannot be told from that of another split.
    """
    root = Path(dataset.path)
    everything = {
        source: find_stated(source, root, may_leave=False)
        for name in _SPLITS
        for source in stated_sources(dataset, name)  # type: ignore[arg-type]
    }
    # If one split lies below the root though its path leads out of it, all do.
    may_leave = all(found is None or found.is_as_stated for found in everything.values())
    resolved = []
    for source in stated_sources(dataset, split):
        found = everything[source]
        if may_leave and (found is None or not found.is_as_stated):
            found = find_stated(source, root) or found
        if found is None:
            plain = os.path.abspath(root / source)
            raise UserError(
                f"data.{split}: {shortened(plain)} does not exist, and nothing below {root} has "
                "this path"
            )
        _require_distinct(source, found, everything, split)
        if not found.is_as_stated:
            notes.append(decide(found.path, "file", source, MOVED, "noted"))
        resolved.append(found.path)
    return resolved


def _require_distinct(
    source: str, found: Found, everything: dict[str, Found | None], split: str
) -> None:
    """Raise UserError where shortened paths of different sources meet in one folder."""
    if found.is_as_stated:
        return
    for other, place in everything.items():
        if place and place.path == found.path and parts_of(other) != parts_of(source):
            raise UserError(
                f"data.{split}: {source!r} does not exist, and shortened to {found.path} it could "
                f"be {other!r} as well; set data.{split} to where it is now"
            )


def require_images(images: Sequence[str], key: str) -> None:
    """Raise UserError if no image of a list exists."""
    missing = [path for path in images if not os.path.exists(path)]
    if images and len(missing) == len(images):
        raise UserError(
            f"{key}: none of the {len(images)} images that it names exists, e.g. {missing[0]}; "
            "put the images there, or give their folder instead of the list"
        )


def explain_no_images(sources: Sources, root: Path) -> str:
    """Return why a split has no images: what is there instead."""
    text = f"no images in {', '.join(sources.stated)} under {root}"
    suffixes = Counter(os.path.splitext(path)[1].lower() for path in sources.others)
    labels = suffixes.pop(".txt", 0)
    if labels:
        return (
            f"{text}, but {labels} .txt files; name the folder of the images: label files are "
            "found by themselves"
        )
    unread = [
        f"{count} files {'end in ' + suffix if suffix else 'without suffix'}"
        for suffix, count in suffixes.most_common(3)
    ]
    if unread:
        return f"{text}: {', '.join(unread)}, which are not read; {_advice(suffixes)}"
    return f"{text}; put the images there, or name the folder that contains them"


def _advice(suffixes: Sequence[str] | Counter[str]) -> str:
    if ".heic" in suffixes or ".heif" in suffixes:
        return "pip install pillow-heif to read them, or convert them to JPEG"
    if "" in suffixes:
        return "add the suffix to the names, as in x.jpg"
    return "convert them to JPEG or PNG"
