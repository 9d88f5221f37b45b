"""The files below a folder, and what a look at some of them tells."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from data.formats.files import is_image_name, list_files, to_text
from utils.runtime.files.regular_file import UnreadableFileError, open_regular

SplitName = Literal["train", "val", "test"]
RowKind = Literal["yolo", "visdrone", "kitti", "two_columns", "other"]

_SPLIT_WORDS: dict[str, SplitName] = {
    "train": "train",
    "training": "train",
    "trainval": "train",
    "trn": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "minival": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
_WORDS = re.compile(r"[a-z]+")
_HEAD, _TAIL = 1 << 18, 1 << 14
_SAMPLES = 3
_NO_LABELS = ("readme", "classes", "license", "notes", "requirements", "obj.names", "labels.txt")


class Tree:
    """Files below `root`, with paths relative to it and plain slashes, sorted.

    A folder that contains nothing but one folder is passed over: archives often have one on top.
    """

    def __init__(self, root: Path) -> None:
        self.root = _inner(root)
        base = str(self.root)
        self.files = sorted(
            os.path.relpath(path, base).replace(os.sep, "/") for path in list_files(self.root)
        )

    @cached_property
    def images(self) -> list[str]:
        """Images, by their names."""
        return [path for path in self.files if is_image_name(path)]

    def ending(self, *suffixes: str) -> list[str]:
        """Return the files with one of the suffixes, in any case."""
        return [path for path in self.files if path.lower().endswith(suffixes)]

    def path(self, relative: str) -> Path:
        """Return the full path of a file."""
        return self.root / relative

    def head(self, relative: str) -> str:
        """Return the beginning of a file and, if it is long, its end, as text.

        Raises:
            UserError: it is a pipe, a device, too large or forbidden.
        """
        try:
            with open_regular(self.path(relative)) as file:
                content = file.read(_HEAD)
                if len(content) == _HEAD:
                    file.seek(max(_HEAD, os.fstat(file.fileno()).st_size - _TAIL))
                    content += file.read(_TAIL)
        except UnreadableFileError as error:
            if error.is_missing:  # deleted meanwhile, or a link to nothing
                return ""
            raise
        except OSError:
            return ""
        return to_text(content)

    def samples(self, paths: Iterable[str]) -> list[str]:
        """Return a few files of each folder: files of one folder are of one kind."""
        by_folder: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            if len(by_folder[folder_of(path)]) < _SAMPLES:
                by_folder[folder_of(path)].append(path)
        return [path for chosen in by_folder.values() for path in chosen]

    @cached_property
    def text_kinds(self) -> dict[str, RowKind]:
        """What the rows of the texts in each folder are; folders without label rows are absent."""
        kinds: dict[str, RowKind] = {}
        texts = [
            path
            for path in self.ending(".txt")
            if not path.rpartition("/")[2].lower().startswith(_NO_LABELS)
        ]
        by_folder: dict[str, list[str]] = defaultdict(list)
        for path in texts:
            by_folder[folder_of(path)].append(path)
        for folder, paths in by_folder.items():
            for path in paths[:20]:
                kind = row_kind(self.head(path))
                if kind is not None:
                    kinds.setdefault(folder, kind)
                    break
        return kinds

    def sources(self, folders: Iterable[str]) -> dict[SplitName, list[str]]:
        """Return the folders of each split, told by words like train or valid in their paths."""
        splits: dict[SplitName, list[str]] = defaultdict(list)
        for folder in dict.fromkeys(folders):
            name, upto = split_of(folder)
            splits[name or "train"].append(upto if name else folder)
        return {name: outermost(found) for name, found in splits.items()}


def split_of(path: str) -> tuple[SplitName | None, str]:
    """Return the split that a path names and the path up to that word; (None, path) where none."""
    parts = path.split("/")
    for index in range(len(parts) - 1, -1, -1):
        for word in _WORDS.findall(parts[index].lower()):
            if word in _SPLIT_WORDS:
                return _SPLIT_WORDS[word], "/".join(parts[: index + 1])
    return None, path


def folder_of(path: str) -> str:
    """Return the folder of a relative path, `.` at the top."""
    return path.rpartition("/")[0] or "."


def outermost(folders: Sequence[str]) -> list[str]:
    """Return the folders that are in no other one of them."""
    distinct = sorted(set(folders))
    if "." in distinct:
        return ["."]
    return [
        folder
        for folder in distinct
        if not any(folder.startswith(other + "/") for other in distinct)
    ]


def row_kind(text: str) -> RowKind | None:
    """Return what the first row of a text is; None for a text that contains no label rows."""
    line = next((line.strip() for line in text.split("\n") if line.strip()), "")
    columns = line.split()
    if len(columns) == 2 and is_image_name(columns[0]) and "." in columns[1]:
        return "two_columns"
    if re.fullmatch(r"(?:-?\d+(?:\.\d+)?,){5,}-?\d*(?:\.\d+)?", line):
        return "visdrone"
    if len(columns) < 5:
        return None
    numbers = [_is_number(column) for column in columns]
    if all(numbers):
        is_normalised = all(abs(float(column)) <= 2 for column in columns[1:5])
        return "yolo" if is_normalised and float(columns[0]).is_integer() else "other"
    if not numbers[0] and len(columns) >= 15 and all(numbers[-11:]):
        return "kitti"
    return "other" if all(map(_is_almost_number, columns)) else None


def json_keys(text: str) -> set[str]:
    """Return the words that stand before a colon in a text of JSON."""
    return set(re.findall(r'"(\w+)"\s*:', text))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_almost_number(text: str) -> bool:
    return _is_number(text.replace(",", "."))


def _inner(root: Path) -> Path:
    for _ in range(4):
        entries = [
            entry for entry in os.scandir(root) if not entry.name.startswith((".", "__MACOSX"))
        ]
        if len(entries) != 1 or not entries[0].is_dir():
            break
        if entries[0].name.lower() in ("images", "jpegimages", "img"):
            break
        root = Path(entries[0].path)
    return root


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A reading of a folder: settings of section `data`, in the words of a YAML."""

    title: str
    """What it was taken for, for a person."""
    settings: Mapping[str, Any]
    notes: tuple[str, ...] = ()


Layout = Callable[[Tree], Candidate | None]


def by_split(sources: Mapping[SplitName, Sequence[str]]) -> dict[str, Any]:
    """Return the keys train, val and test; a split without train in its name is train.

    Where only val or test is named, as FiftyOne exports one split, it is trained on.
    """
    found = {
        name: _one_or_list(sources[name]) for name in ("train", "val", "test") if name in sources
    }
    if found and "train" not in found:
        first = next(iter(found))
        found = {"train": found.pop(first), **found}
    return found


def _one_or_list(sources: Sequence[str]) -> Any:
    return sources[0] if len(sources) == 1 else list(sources)
