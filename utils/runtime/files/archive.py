"""Unpack a zip file: nothing is written outside its folder, nothing partial remains."""

import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from utils.runtime.errors import UserError

_SPARE_BYTES = 64 << 20


def unpack_zip(archive: Path, folder: Path, *, strip: int = 0) -> None:
    """Unpack `archive` into `folder`, which may contain other files; those of the same name win.

    Args:
        archive: the zip file.
        folder: made where it is missing.
        strip: leading folders to leave out of every name.

    Raises:
        UserError: the file is damaged or encrypted, contains names that lead out of the folder, or
            does not fit on the disk; `folder` is as it was before.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
    try:
        with zipfile.ZipFile(archive) as source:
            members = [(entry, _inside(entry, archive, strip)) for entry in source.infolist()]
            _require_space(folder, sum(entry.file_size for entry, _ in members))
            for entry, name in members:
                if name is not None and not entry.is_dir():
                    target = scratch / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with source.open(entry) as content, target.open("wb") as file:
                        shutil.copyfileobj(content, file, 1 << 20)
        _merge(scratch, folder)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{archive} cannot be unpacked: {error}") from error
    except OSError as error:
        raise UserError(f"{archive} cannot be unpacked: {error.strerror or error}") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _inside(entry: zipfile.ZipInfo, archive: Path, strip: int) -> PurePosixPath | None:
    """Return the target of an entry, None where nothing of its name is left."""
    name = PurePosixPath(entry.filename.replace("\\", "/"))
    is_link = stat.S_ISLNK(entry.external_attr >> 16)
    if name.is_absolute() or ".." in name.parts or is_link:
        raise UserError(f"{archive} holds {entry.filename!r}, which leads out of its folder")
    parts = name.parts[strip:]
    return PurePosixPath(*parts) if parts else None


def _merge(source: Path, target: Path) -> None:
    """Move everything in `source` into `target`; whole folders at once where that is possible."""
    for child in source.iterdir():
        place = target / child.name
        if child.is_dir() and place.is_dir():
            _merge(child, place)
        else:
            os.replace(child, place)


def _require_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed + _SPARE_BYTES > free:
        raise UserError(
            f"{folder} has {free / 1e6:,.0f} MB free, unpacking needs {needed / 1e6:,.0f} MB"
        )
