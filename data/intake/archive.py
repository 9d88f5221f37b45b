"""Unpack a .zip into the user's cache, once, and nothing but its files.

Names that lead out of the folder, links and more data than the disk has room for are refused
before a byte is written.
"""

import hashlib
import os
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

from utils.runtime.errors import UserError
from utils.runtime.files.cache_folder import user_cache_folder
from utils.runtime.files.regular_file import open_regular

_MAX_FILES = 5_000_000
_MAX_BYTES = 1 << 44
_MAX_RATIO = 200
_SMALL = 1 << 26


def unpack(archive: Path) -> Path:
    """Return the folder with the content of an archive, unpacking it where that is new.

    Raises:
        UserError: it is not a zip, is encrypted or damaged, contains names or links that lead out
            of its folder, or does not fit on the disk.
    """
    state = archive.stat()
    key = f"{archive.resolve()}|{state.st_size}|{state.st_mtime_ns}"
    name = hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    folder = user_cache_folder() / "unpacked" / f"{archive.stem}-{name}"
    if folder.is_dir():
        return folder
    temporary = ""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with open_regular(archive, limit=_MAX_BYTES) as source, zipfile.ZipFile(source) as file:
            members = _checked(file, archive, folder.parent)
            temporary = tempfile.mkdtemp(dir=folder.parent, prefix=".unpacking-")
            for member in members:
                _write(file, member, Path(temporary))
        os.rename(temporary, folder)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, RuntimeError) as error:
        raise UserError(f"{archive} cannot be unpacked: {error}") from error
    except OSError as error:
        if not folder.is_dir():  # another process may have been faster
            raise UserError(f"{archive} cannot be unpacked to {folder}: {error}") from error
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _checked(file: zipfile.ZipFile, archive: Path, target: Path) -> list[zipfile.ZipInfo]:
    members = [member for member in file.infolist() if not member.is_dir()]
    total = sum(member.file_size for member in members)
    packed = sum(member.compress_size for member in members)
    free = shutil.disk_usage(target).free
    if len(members) > _MAX_FILES or (total > _SMALL and total > _MAX_RATIO * max(1, packed)):
        raise UserError(f"{archive} unpacks to {total:,} bytes from {packed:,}: refused")
    if total > free:
        raise UserError(f"{archive} needs {total:,} bytes in {target}, where {free:,} are free")
    for member in members:
        path = PurePosixPath(member.filename.replace("\\", "/"))
        is_link = stat.S_ISLNK(member.external_attr >> 16)
        leads_out = path.is_absolute() or ".." in path.parts or ":" in path.parts[0]
        if is_link or leads_out:
            what = "a link" if is_link else "a path out of its folder"
            raise UserError(f"{archive} holds {what}: {member.filename}; unpack it by hand")
    return [m for m in members if "__MACOSX" not in m.filename]


def _write(file: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    target = folder.joinpath(*PurePosixPath(member.filename.replace("\\", "/")).parts)
    target.parent.mkdir(parents=True, exist_ok=True)
    with file.open(member) as source, open(target, "wb") as out:
        shutil.copyfileobj(source, out, 1 << 20)
