"""Find and read the files of a data set, with errors that name missing files."""

import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

from data.formats.label_report import Decision
from data.formats.rows import RawSplit
from data.images.io import IMAGE_SUFFIXES
from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_atomically
from utils.runtime.files.regular_file import (
    LARGEST_ANNOTATIONS,
    USUAL_LIMIT,
    UnreadableFileError,
    read_regular,
)
from utils.runtime.printable import shortened
from utils.structures.images import Record

_READING_THREADS = 8
_CHUNK = 100
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFiles:
    """Everything that the reading of a split depends on, apart from the settings.

    images: paths of the image files, sorted; a list may name some that do not exist. labels:
    contents of every label file. notes: decisions about files that are not used. label_of: label
    file of an image, where it cannot be derived from its name. stray_rows: label files without an
    image, and their numbers of rows.
    """

    images: tuple[str, ...]
    labels: Mapping[str, bytes]
    notes: tuple[Decision, ...] = ()
    label_of: Mapping[str, str] = field(default_factory=dict)
    stray_rows: tuple[tuple[Decision, int], ...] = ()


class Reader(Protocol):
    """One split in one format: `find` its files, then `read` their contents.

    `write_part` writes a list of some of its images as a split; the label files stay where they
    are.
    """

    def find(self) -> SplitFiles:
        """Return the files of the split; raises UserError if a required one is missing."""

    def read(self, files: SplitFiles) -> RawSplit:
        """Return the images and label rows of the files; opens no image."""

    def write_part(
        self, records: Sequence[Record], category_ids: Sequence[int], path: Path
    ) -> object:
        """Write a list or annotations of some records of the split.

        Args:
            records: the part.
            category_ids: what the files call each class, in the order of the labels.
            path: of the new file, without suffix; the reader adds the one of its format.

        Returns:
            The value of `data.<split>` that names the part, in JSON types.
        """


def write_list(lines: Iterable[str], path: Path) -> str:
    """Write lines of text to `path` with the suffix .txt; return where they are."""
    path = path.with_suffix(".txt").resolve()
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
    return str(path)


def list_files(folder: Path) -> Iterator[str]:
    """Yield the path of every file under `folder`, hidden files and folders apart; any order.

    Links to folders are followed, but no folder is entered twice: a link back into the folder, or
    two links to one, would repeat the data. Skipped links are logged.
    """
    entered = {_identity(str(folder))}
    skipped: list[str] = []
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        # Real folders first, so that of a folder and a link to it the folder stays.
        folders.sort(key=lambda name: os.path.islink(f"{root}{os.sep}{name}"))
        for name in list(folders):
            identity = _identity(f"{root}{os.sep}{name}")
            if identity in entered:
                folders.remove(name)
                skipped.append(f"{root}{os.sep}{name}")
            entered.add(identity)
        for name in names:
            if not name.startswith("."):
                yield f"{root}{os.sep}{name}"
    if skipped:
        _logger.warning(
            "%s: %d links to folders that are read anyway are left out, e.g. %s",
            shortened(folder),
            len(skipped),
            shortened(skipped[0]),
        )


def _identity(folder: str) -> tuple[int, int] | str:
    """Return the identity of a folder, independent of its name."""
    try:
        status = os.stat(folder)
    except (OSError, ValueError):
        return folder
    # Some file systems of Windows have no inode numbers.
    return (status.st_dev, status.st_ino) if status.st_ino else os.path.realpath(folder)


def list_images(folder: Path) -> list[str]:
    """Return the paths of the images under `folder`, by their suffixes, sorted."""
    return sorted(path for path in list_files(folder) if is_image_name(path))


def is_image_name(path: str) -> bool:
    """Return whether the name has the suffix of an image."""
    suffix = path[path.rfind(".") :]
    # Splitting the name, for every file at every start, would take three times as long.
    return suffix.lower() in IMAGE_SUFFIXES and os.path.splitext(path)[1] == suffix


def without_suffix(path: str) -> str:
    """Return the path without its last suffix: `a.b.jpg` gives `a.b`."""
    return os.path.splitext(path)[0]


def require_folder(path: Path, key: str) -> Path:
    """Return `path`; raises UserError naming the settings key if it is not a folder."""
    try:
        if path.is_dir():
            return path
        what = "is not a folder" if path.exists() else "does not exist"
    except (OSError, ValueError):
        what = "is not a name that a folder can have"
    raise UserError(f"{key}: {shortened(path)} {what}")


def read_required(path: Path, key: str) -> bytes:
    """Return the content of a required file; raises UserError naming the settings key."""
    try:
        return read_regular(path, limit=LARGEST_ANNOTATIONS)
    except UnreadableFileError as error:
        what = "does not exist" if error.is_missing else f"cannot be read: {error.reason}"
        raise UserError(f"{key}: {shortened(path)} {what}") from error


def read_present(paths: Iterable[str], *, limit: int = USUAL_LIMIT) -> dict[str, bytes]:
    """Return the contents of the files that exist; raises UserError for unreadable ones."""
    distinct = list(dict.fromkeys(paths))
    # One task per file would cost more than reading it.
    chunks = [distinct[start : start + _CHUNK] for start in range(0, len(distinct), _CHUNK)]
    with ThreadPoolExecutor(_READING_THREADS) as pool:
        read = partial(_read_all, limit=limit)
        contents = [content for chunk in pool.map(read, chunks) for content in chunk]
    return {
        path: content
        for path, content in zip(distinct, contents, strict=True)
        if content is not None
    }


def to_text(content: bytes) -> str:
    """Return UTF-8, or UTF-16 with its mark, as text with plain line ends.

    Bytes that are neither are read as Windows-1252, in which old editors save names with accents.
    PowerShell writes UTF-16 where a command's output goes to a file.
    """
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    try:
        text = content.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("utf-16" if is_utf16 else "cp1252", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_all(paths: Iterable[str], limit: int) -> list[bytes | None]:
    return [_read(path, limit) for path in paths]


def _read(path: str, limit: int) -> bytes | None:
    try:
        return read_regular(path, limit=limit)
    except UnreadableFileError as error:
        if error.is_missing:
            return None
        raise UserError(f"{shortened(path)} cannot be read: {error.reason}") from error
