"""Find and read the files of a data set, with errors that say which file is missing."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from data.formats.rows import RawSplit
from data.image_io import IMAGE_SUFFIXES
from data.label_report import Decision
from utils.runtime.atomic import write_atomically
from utils.runtime.errors import UserError
from utils.structures.images import Record

_READING_THREADS = 8
_CHUNK = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFiles:
    """Everything that the reading of a split depends on, apart from the settings.

    images: paths of the image files, sorted; a list may name some that do not exist. labels:
    contents of every label file. notes: decisions about files that take no part. label_of: label
    file of an image, where names do not tell. stray_rows: label files that belong to no image, and
    how many rows each of them holds.
    """

    images: tuple[str, ...]
    labels: Mapping[str, bytes]
    notes: tuple[Decision, ...] = ()
    label_of: Mapping[str, str] = field(default_factory=dict)
    stray_rows: tuple[tuple[Decision, int], ...] = ()


class Reader(Protocol):
    """One split in one format: `find` its files, then `read` their contents.

    `write_part` makes some of its images a split of their own, the labels staying where they are.
    """

    def find(self) -> SplitFiles:
        """Return the files of the split; raises UserError where one that must be there is not."""

    def read(self, files: SplitFiles) -> RawSplit:
        """Return the images and label rows that the files hold; opens no image."""

    def write_part(
        self, records: Sequence[Record], category_ids: Sequence[int], path: Path
    ) -> object:
        """Write a list or annotations of some records of the split.

        Args:
            records: the part.
            category_ids: what the files call each class, in the order of the labels.
            path: of the new file, without suffix; the reader adds the one of its format.

        Returns:
            The value of `data.<split>` under which the part is read, made of what JSON can hold.
        """


def write_list(lines: Iterable[str], path: Path) -> str:
    """Write lines of text to `path` with the suffix .txt; return where they are."""
    path = path.with_suffix(".txt").resolve()
    write_atomically(path, "".join(f"{line}\n" for line in lines).encode())
    return str(path)


def list_files(folder: Path) -> Iterator[str]:
    """Yield the path of every file under `folder`, hidden files and folders apart; any order.

    A linked folder is entered once: a link to a folder above would show every file many times.
    """
    entered: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and not _is_entered(f"{root}{os.sep}{name}", entered)
        ]
        for name in names:
            if not name.startswith("."):
                yield f"{root}{os.sep}{name}"


def _is_entered(folder: str, entered: set[str]) -> bool:
    """Tell whether a link leads to a folder that is searched already, and remember it."""
    if not os.path.islink(folder):
        return False
    target = os.path.realpath(folder)
    above = os.path.realpath(os.path.dirname(folder))
    is_known = target in entered or above == target or above.startswith(target + os.sep)
    entered.add(target)
    return is_known


def list_images(folder: Path) -> list[str]:
    """Return the paths of the images under `folder`, told by their names, sorted."""
    return sorted(path for path in list_files(folder) if is_image_name(path))


def is_image_name(path: str) -> bool:
    """Return whether the name ends like an image's."""
    return os.path.splitext(path)[1].lower() in IMAGE_SUFFIXES


def without_suffix(path: str) -> str:
    """Return the path without its last suffix: `a.b.jpg` gives `a.b`."""
    return os.path.splitext(path)[0]


def require_folder(path: Path, key: str) -> Path:
    """Return `path`; raises UserError naming the settings key if it is no folder."""
    if not path.is_dir():
        what = "is not a folder" if path.exists() else "does not exist"
        raise UserError(f"{key}: {path} {what}")
    return path


def read_required(path: Path, key: str) -> bytes:
    """Return the content of a file that must be there; raises UserError naming the settings key."""
    if not path.is_file():
        what = "is not a file" if path.exists() else "does not exist"
        raise UserError(f"{key}: {path} {what}")
    return _read(str(path)) or b""


def read_present(paths: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of the files that exist; raises UserError for unreadable ones."""
    distinct = list(dict.fromkeys(paths))
    # One task a file would cost more than reading it.
    chunks = [distinct[start : start + _CHUNK] for start in range(0, len(distinct), _CHUNK)]
    with ThreadPoolExecutor(_READING_THREADS) as pool:
        contents = [content for chunk in pool.map(_read_all, chunks) for content in chunk]
    return {
        path: content
        for path, content in zip(distinct, contents, strict=True)
        if content is not None
    }


def to_text(content: bytes) -> str:
    """Return UTF-8, or UTF-16 with its mark, as text with plain line ends.

    Other bytes become replacement signs. PowerShell writes UTF-16 where a command's output goes to
    a file.
    """
    is_utf16 = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    text = content.decode("utf-16" if is_utf16 else "utf-8-sig", errors="replace")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _read_all(paths: Iterable[str]) -> list[bytes | None]:
    return [_read(path) for path in paths]


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError:  # no file has a name with a null character
        return None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
