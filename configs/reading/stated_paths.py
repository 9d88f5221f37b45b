r"""Paths as other programs and machines wrote them, found where the data set is now.

A data set that moved keeps the paths of the machine that exported it: `../train/images`,
`/content/cells/images/train`, `C:\Users\me\cells\x.jpg`, `data/obj_train_data/x.jpg`. A path is
taken as given if it is inside the data set's folder; else leading parts are dropped until the rest
exists below that folder. Data beside the file that names it takes precedence over other folders, so
that a neighbouring data set is never taken for this one.
"""

import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_DRIVE = re.compile(r"^[A-Za-z]:(?=/|$)")
_ADDRESS = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+://")
_LOCAL_FILES = re.compile(r"^.*/data/local-files/?\?d=")
_UPLOAD_PREFIX = re.compile(r"^[0-9a-fA-F]{8}-")


class Found(NamedTuple):
    """A resolved path; `is_as_stated` is false where parts of it had to be dropped."""

    path: str
    is_as_stated: bool


def portable(stated: str) -> str:
    """Return a given path with plain slashes, without drive, quotes, blanks or address."""
    text = stated.strip().strip("\"'").strip()
    text = _LOCAL_FILES.sub("", text)
    if _ADDRESS.match(text):
        text = unquote(urlsplit(text).path)
    return _DRIVE.sub("", text.replace("\\", "/"))


def parts_of(stated: str) -> list[str]:
    """Return the folders and the name of a given path, without `.`, `..` and drive."""
    return [part for part in portable(stated).split("/") if part not in ("", ".", "..")]


def suffixes(stated: str) -> Iterator[str]:
    """Yield the path with more and more leading parts dropped, longest first."""
    parts = parts_of(stated)
    for start in range(len(parts)):
        yield os.path.join(*parts[start:])


def find_stated(
    stated: str,
    folder: Path,
    *,
    may_leave: bool = True,
    exists: Callable[[str], bool] = os.path.exists,
) -> Found | None:
    """Resolve `stated`, or return None.

    Args:
        stated: as written in a file.
        folder: the data set's folder; relative paths start here.
        may_leave: a relative path may lead out of `folder` where nothing inside fits it.
        exists: whether a path can be taken.
    """
    if "\0" in stated:
        return None
    plain = os.path.abspath(folder / stated.strip())
    root = os.path.abspath(folder)
    is_inside = plain == root or plain.startswith(root.rstrip(os.sep) + os.sep)
    is_relative = not os.path.isabs(stated.strip())
    if is_relative and is_inside and exists(plain):
        return Found(plain, is_as_stated=True)
    if not is_relative and exists(plain):
        return Found(plain, is_as_stated=True)
    whole, *shorter = list(suffixes(stated)) or [""]
    if whole and exists(os.path.join(root, whole)):
        return Found(os.path.join(root, whole), is_as_stated=False)
    if may_leave and is_relative and exists(plain):
        return Found(plain, is_as_stated=True)
    for suffix in shorter:
        if exists(os.path.join(root, suffix)):
            return Found(os.path.join(root, suffix), is_as_stated=False)
    return None


class FileIndex:
    """Finds given file names among known files, without disk access."""

    def __init__(self, paths: Iterable[str]) -> None:
        self._by_name: dict[str, list[str]] = {}
        self._by_stem: dict[str, list[str]] = {}
        self._paths = set(paths)
        for path in self._paths:
            self._by_name.setdefault(_folded(os.path.basename(path)), []).append(path)

    def __contains__(self, path: object) -> bool:
        return path in self._paths

    def find(self, stated: str) -> str | None:
        """Return the file with the longest common path suffix.

        None where no file has the name, or several fit equally well.
        """
        parts = [_folded(part) for part in parts_of(stated)]
        if not parts:
            return None
        plain = (parts[-1], _folded(unquote(parts[-1])))
        names = [*plain, *(_UPLOAD_PREFIX.sub("", name) for name in plain)]
        for name in dict.fromkeys(names):
            if chosen := self._most_alike(self._by_name.get(name, ()), parts[:-1]):
                return chosen
        return None

    def named_alike(self, stated: str) -> list[str]:
        """Return the files with the same name in any folder, sorted."""
        name = "".join(parts_of(stated)[-1:])
        return sorted(self._by_name.get(_folded(name), ()))

    def find_stem(self, stated: str) -> str | None:
        """Return the one file with the given name without suffix, else None."""
        if not self._by_stem:
            for path in self._paths:
                stem = _folded(os.path.splitext(os.path.basename(path))[0])
                self._by_stem.setdefault(stem, []).append(path)
        parts = [_folded(part) for part in parts_of(stated)] or [""]
        return self._most_alike(self._by_stem.get(parts[-1], ()), parts[:-1])

    def find_nearest(self, label_file: str) -> str | None:
        """Return the file with the stem of `label_file` that shares most leading folders with it.

        So splits with folders of their own, train/images and valid/images, may repeat names. None
        where there is none, or several are equally near.
        """
        self.find_stem("")
        stem = _folded(os.path.splitext(os.path.basename(label_file))[0])
        shared: dict[int, list[str]] = {}
        for path in self._by_stem.get(stem, ()):
            shared.setdefault(len(os.path.commonpath((path, label_file))), []).append(path)
        nearest = shared[max(shared)] if shared else []
        return nearest[0] if len(nearest) == 1 else None

    @staticmethod
    def _most_alike(paths: Iterable[str], folders: list[str]) -> str | None:
        scored: dict[int, list[str]] = {}
        for path in paths:
            own = [_folded(part) for part in os.path.dirname(path).split(os.sep)]
            scored.setdefault(_common_tail(own, folders), []).append(path)
        if not scored:
            return None
        best = scored[max(scored)]
        return best[0] if len(best) == 1 else None


def _common_tail(first: list[str], second: list[str]) -> int:
    count = 0
    for own, other in zip(reversed(first), reversed(second), strict=False):
        if own != other:
            break
        count += 1
    return count


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
