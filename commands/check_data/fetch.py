"""Public data sets by name: list and download."""

import logging
import os
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from commands.check_data.cli import CheckCommand
from configs.reading.locate import DATASETS_VARIABLE
from configs.reading.public_data import (
    CATALOGUE,
    PublicDataset,
    PublicFile,
    find_public_data,
    read_catalogue,
)
from utils.runtime.errors import UserError
from utils.runtime.files.archive import unpack_zip
from utils.runtime.files.download import RemoteFile, download

_logger = logging.getLogger(__name__)


def list_public_data(catalogue: Path = CATALOGUE) -> list[str]:
    """Return a line for each data set: name, images, size, licence.

    Raises:
        ConfigError: the catalogue cannot be read.
    """
    return [
        f"{name:<10} {entry.images:>7,} images {entry.about_mb:>7,} MB  {entry.title}; "
        f"{entry.licence}; {entry.source}"
        for name, entry in read_catalogue(catalogue).items()
    ]


def fetch_data(command: CheckCommand, catalogue: Path = CATALOGUE) -> list[str]:
    """Download the data set that the command names; return the closing message.

    Raises:
        ConfigError: there is no such data set.
        UserError: it cannot be fetched or unpacked; a broken download continues the next time.
    """
    if command.get is None:
        raise UserError("name a data set with --get NAME; --list shows them")
    entry = find_public_data(command.get, read_catalogue(catalogue))
    root = command.into or datasets_folder()
    _logger.info("%s: %s", command.get, entry.title)
    _logger.info("licence: %s; %s", entry.licence, entry.source)
    for file in entry.files:
        _fetch_file(file, root)
    return _closing_lines(command.get, entry, root)


def datasets_folder() -> Path:
    """Return $FOCALDET_DATASETS, else ./datasets: where data sets are looked for, too."""
    stated = os.environ.get(DATASETS_VARIABLE)
    return Path(stated).expanduser() if stated else Path("datasets")


def _fetch_file(file: PublicFile, root: Path) -> None:
    if (root / file.gives).exists():
        _logger.info("already present: %s", root / file.gives)
        return
    name = PurePosixPath(urlsplit(file.urls[0]).path).name
    folder = root / file.into
    target = folder / name
    _logger.info("fetching %s, about %s MB", name, f"{file.about_mb:,}")
    remote = RemoteFile(urls=file.urls, sha256=file.sha256, num_bytes=file.bytes)
    download(remote, target)
    if target.suffix == ".zip":
        unpack_zip(target, folder, strip=file.strip)
        target.unlink()
    if not (root / file.gives).exists():
        raise UserError(f"{name} was fetched into {folder} but has no {file.gives}")


def _closing_lines(name: str, entry: PublicDataset, root: Path) -> list[str]:
    lines = [f"{name}: {entry.images:,} images in {(root / name).resolve()}"]
    if root.resolve() != datasets_folder().resolve():
        lines.append(f"set {DATASETS_VARIABLE}={root.resolve()} so that it is found by its name")
    lines.append(f"look at it: python check_data.py {name} --page {name}.html")
    return lines
