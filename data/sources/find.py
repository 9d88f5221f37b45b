"""From what the user names to the files and addresses that are meant."""

import glob
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit

from data.formats.files import is_image_name, list_files, without_suffix
from data.image_io import IMAGE_SUFFIXES
from utils.runtime.errors import UserError

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
        return self.location.isdecimal() or self.location.startswith(STREAM_SCHEMES)


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
        UserError: something does not exist, is neither image nor video, or holds none.
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


def without_credentials(address: str) -> str:
    """Return the address of a stream without user name and password, fit to be shown."""
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", address)


def _with_standard_input(texts: Iterable[str], stdin: TextIO | None) -> Iterator[str]:
    for text in texts:
        if text == STANDARD_INPUT:
            lines = (line.strip() for line in stdin or sys.stdin)
            yield from (line for line in lines if line and line != STANDARD_INPUT)
        else:
            yield text


def _locate(text: str) -> Sequence[tuple[str, str]]:
    """Return (location, name of the results) of everything one text means."""
    path = Path(text).expanduser()
    if text.startswith(STREAM_SCHEMES):
        return [(text, _stream_name(text))]
    if path.is_dir():
        return _in_folder(path)
    if path.exists():
        return [_file(path)]
    if text.isdecimal():
        return [(text, f"camera{text}")]
    if glob.has_magic(text):
        return _matching(str(path))
    raise UserError(f"--source {text}: no such file, folder or camera")


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
    parts = urlsplit(without_credentials(address))
    return re.sub(r"[^\w.-]+", "_", f"{parts.netloc}{parts.path}").strip("_") or "stream"


def _apart(located: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield locations with names that differ, capital letters not counted: a, a-2, a-3."""
    taken: set[str] = set()
    for location, name in located.items():
        chosen, number = name, 1
        while chosen.casefold() in taken:
            number += 1
            chosen = f"{name}-{number}"
        taken.add(chosen.casefold())
        yield location, chosen
