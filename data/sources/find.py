"""Find the files and streams named by `--source`."""

import glob
import hashlib
import os
import re
import sys
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from data.formats.files import is_image_name, list_files, without_suffix
from data.images.io import IMAGE_SUFFIXES
from utils.runtime.errors import UserError
from utils.runtime.printable import as_file_name, shortened

VIDEO_SUFFIXES = frozenset(
    (".mp4", ".avi", ".mov", ".mkv", ".m4v", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".ts")
)
"""Lower-case file name endings that are taken for videos."""
STREAM_SCHEMES = ("rtsp://", "rtsps://", "rtmp://", "http://", "https://", "udp://", "tcp://")
STANDARD_INPUT = "-"


@dataclass(frozen=True, slots=True)
class Found:
    """A file, or the address of a camera or stream, and the name its results get."""

    location: str
    name: str

    @property
    def shown(self) -> str:
        """The location without user name and password."""
        return without_credentials(self.location)

    @property
    def is_live(self) -> bool:
        """Whether it is a camera or stream."""
        return self.location.isdecimal() or is_stream(self.location)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Still pictures, video files and live sources, each in the order found."""

    stills: tuple[Found, ...] = ()
    videos: tuple[Found, ...] = ()
    streams: tuple[Found, ...] = ()

    def image_ids(self) -> list[int]:
        """Return the ids of the still pictures.

        The numbers in their names, as COCO has it (`000000000139.jpg` is 139), where all are
        numbers, all differ and there is nothing but still pictures; else positions from 0.
        """
        stems = [os.path.basename(without_suffix(still.location)) for still in self.stills]
        only_stills = not self.videos and not self.streams
        if only_stills and all(re.fullmatch("[0-9]+", stem) for stem in stems):
            ids = [int(stem) for stem in stems]
            if len(set(ids)) == len(ids):
                return ids
        return list(range(len(self.stills)))


def find_sources(texts: Iterable[str], stdin: TextIO | None = None) -> Sources:
    """Return what `texts` name.

    Args:
        texts: images, videos, folders (searched to any depth), glob patterns, numbers of cameras,
            addresses of streams, or "-" for a list of all these on standard input, one a line.
        stdin: where "-" reads; the process's own where None.

    Raises:
        UserError: something does not exist, is neither image nor video, or contains none.
    """
    located: dict[str, str] = {}
    for text in _with_standard_input(texts, stdin):
        for location, name in _locate(text):
            located.setdefault(location, name)
    found = [Found(location, name) for location, name in _apart(located)]
    if not found:
        raise UserError("--source -: standard input names no picture")
    live = [source for source in found if source.is_live]
    files = [source for source in found if not source.is_live]
    return Sources(
        stills=tuple(source for source in files if is_image_name(source.location)),
        videos=tuple(source for source in files if not is_image_name(source.location)),
        streams=tuple(live),
    )


def is_stream(text: str) -> bool:
    """Tell whether a text is an address of a kind that is read."""
    return text.lower().startswith(STREAM_SCHEMES)


def without_credentials(address: str) -> str:
    """Return an address without credentials, for output.

    User name and password, which end at the last @, query and fragment are left out. A password
    may contain any character: where the end of the host is unclear, all before the @ is removed.
    """
    match = _ADDRESS.match(address)
    if match is None:
        return shortened(address)
    scheme, rest = match.group(1).lower(), match.group(2)
    rest = rest.rpartition("@")[2] if "@" in rest else rest
    return shortened(f"{scheme}{re.split('[?#;]', rest, maxsplit=1)[0]}")


_ADDRESS = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*:/{1,2})(.*)", re.DOTALL)
LONGEST_NUMBER = 4
"""Digits of the number of a camera."""


def _with_standard_input(texts: Iterable[str], stdin: TextIO | None) -> Iterator[str]:
    for text in texts:
        if text == STANDARD_INPUT:
            source = stdin or sys.stdin
            if source is None:
                raise UserError("--source -: standard input is closed")
            try:
                lines = [line.strip() for line in _lines(source)]
            except (OSError, ValueError) as error:
                raise UserError(f"--source -: cannot be read ({shortened(error)})") from error
            yield from (line for line in lines if line and line != STANDARD_INPUT)
        else:
            yield text


def _lines(source: TextIO) -> list[str]:
    """Return the lines of standard input, names as the file system knows them: any bytes."""
    binary = getattr(source, "buffer", None)
    return list(source) if binary is None else list(map(os.fsdecode, binary.read().split(b"\n")))


def _locate(text: str) -> Sequence[tuple[str, str]]:
    """Return (location, name of the results) of everything one text means."""
    if is_stream(text):
        scheme, separator, rest = text.partition("://")
        return [(f"{scheme.lower()}{separator}{rest}", _stream_name(text))]
    shown = without_credentials(text)
    if "://" in text:
        raise UserError(f"--source {shown}: addresses begin with {', '.join(STREAM_SCHEMES)}")
    try:
        path = Path(text).expanduser()
        if path.is_dir():
            return _in_folder(path)
        if path.exists():
            return [_file(path)]
        if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER:
            return [(text, f"camera{text}")]
        if glob.has_magic(text):
            return _matching(str(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise UserError(f"--source {shown}: {_reason(error)}") from error
    raise UserError(f"--source {shown}: no such file, folder or camera")


def _reason(error: Exception) -> str:
    return shortened(error.strerror or error) if isinstance(error, OSError) else shortened(error)


def _in_folder(folder: Path) -> list[tuple[str, str]]:
    files = sorted(path for path in list_files(folder) if _is_picture(path))
    if not files:
        raise UserError(f"--source {folder}: no image or video in this folder")
    return [(path, without_suffix(os.path.relpath(path, folder))) for path in files]


def _matching(pattern: str) -> list[tuple[str, str]]:
    files = sorted(path for path in glob.glob(pattern, recursive=True) if _is_picture(path))
    if not files:
        raise UserError(f"--source {pattern}: matches no image or video")
    return [_file(Path(path)) for path in files]


def _file(path: Path) -> tuple[str, str]:
    if not _is_picture(str(path)):
        raise UserError(
            f"--source {path}: neither an image ({_listed(IMAGE_SUFFIXES)}) "
            f"nor a video ({_listed(VIDEO_SUFFIXES)})"
        )
    return str(path), path.stem


def _is_picture(path: str) -> bool:
    return is_image_name(path) or os.path.splitext(path)[1].lower() in VIDEO_SUFFIXES


def _listed(suffixes: Iterable[str]) -> str:
    return ", ".join(sorted(suffixes))


def _stream_name(address: str) -> str:
    place = without_credentials(address).partition("://")[2]
    return as_file_name(place).strip("_") or "stream"


def _apart(located: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield locations with names that differ, capital letters not counted: a, a-2, a-3.

    Results of a video or stream are in a folder of its name, which no other name may enter.
    """
    taken: set[str] = set()
    folders: set[str] = set()
    moving = {place for place in located if not is_image_name(place)}
    for place in sorted(located, key=lambda place: place in moving):
        taken |= {_plain(parent) for parent in _parents(located[place])}
    numbers: Counter[str] = Counter()
    used: set[str] = set()
    for location, name in located.items():
        chosen = name = os.sep.join(_short(part) for part in name.split(os.sep))
        is_moving = location in moving
        while (
            _plain(chosen) in used
            or any(_plain(parent) in folders for parent in _parents(chosen))
            or (is_moving and _plain(chosen) in taken)
        ):
            numbers[_plain(name)] += 1
            chosen = f"{name}-{numbers[_plain(name)] + 1}"
        used.add(_plain(chosen))
        if is_moving:
            folders.add(_plain(chosen))
        yield location, chosen


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _parents(name: str) -> list[str]:
    parts = name.split(os.sep)
    return [os.sep.join(parts[:end]) for end in range(1, len(parts))]


def _short(part: str) -> str:
    raw = os.fsencode(part)
    if len(raw) <= LONGEST_PART:
        return part
    digest = hashlib.sha256(raw).hexdigest()[:8]
    return f"{os.fsdecode(raw[: LONGEST_PART - 9]).rstrip()}-{digest}"


LONGEST_PART = 200
"""Bytes of a name; file systems take 255."""
