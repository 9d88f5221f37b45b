"""Published weights into the folder where names are looked for: download, check, convert."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from commands.convert.cli import ConvertCommand
from commands.convert.run import convert, provenance
from commands.weights_by_name import SUFFIX, weights_folders
from configs.reading.weights.published import PublishedWeights, find_published, read_published
from utils.checkpoint.weights import load_weights, save_weights
from utils.runtime.errors import UserError
from utils.runtime.files.download import RemoteFile, download, file_sha256
from utils.runtime.files.http_file import scheme_of

_logger = logging.getLogger(__name__)


def fetch_weights(command: ConvertCommand) -> list[str]:
    """Fetch and convert the weights that the command names; return what to say at the end.

    The published file is removed once it is converted, unless it lay there before.

    Raises:
        ConfigError: there are no such weights, or the file is not what the catalogue says.
        UserError: it cannot be fetched; a broken download continues the next time.
    """
    name = command.get or ""
    entry = find_published(name, read_published())
    folder = command.into or weights_folders()[0]
    target = folder / f"{name}{SUFFIX}"
    _logger.info("%s: licence %s; %s", entry.title, entry.licence, entry.source)
    _logger.info("trained on %s", entry.trained_on)
    if target.exists():
        return [f"already present: {target}", *_closing_lines(name, folder)]
    published, is_ours = _published_file(entry, folder, command.mirror)
    digest = file_sha256(published)
    if entry.sha256 is None:
        _logger.warning(
            "SHA-256 %s of %s; its publisher states none to compare it with",
            digest,
            entry.file_name,
        )
    else:
        _logger.info("SHA-256 %s, as stated", digest)
    _take(published, target, {**entry.notes(name), "sha256": digest})
    if is_ours and published != target:
        published.unlink(missing_ok=True)
    return [f"written: {target}", *_closing_lines(name, folder)]


def _published_file(entry: PublishedWeights, folder: Path, mirror: str | None) -> tuple[Path, bool]:
    """Return the published file, checked, and whether it may be removed afterwards."""
    urls = entry.urls
    if mirror is not None and scheme_of(mirror) not in ("http", "https"):
        place = Path(mirror).expanduser() / entry.file_name
        if not place.is_file():
            raise UserError(f"--mirror {mirror}: holds no file {entry.file_name}")
        return download(_remote(entry, urls), place), False
    if mirror is not None:
        urls = (f"{mirror.rstrip('/')}/{entry.file_name}",)
    place = folder / entry.file_name
    was_there = place.exists()
    if not was_there:
        _logger.info("fetching %s, %s", entry.file_name, entry.size_text)
    try:
        return download(_remote(entry, urls), place), not was_there
    except OSError as error:
        raise UserError(f"cannot write to {folder}: {error.strerror}; set --into") from error


def _remote(entry: PublishedWeights, urls: tuple[str, ...]) -> RemoteFile:
    return RemoteFile(urls=urls, sha256=entry.sha256, num_bytes=entry.bytes)


def _take(published: Path, target: Path, notes: Mapping[str, Any]) -> None:
    """Make `target` of a published file, foreign or in our own format, and note where it is from.

    Raises:
        UserError, ConfigError: it cannot be used; nothing is left under the name of `target`.
    """
    if published.suffix != SUFFIX:
        convert(published, target, notes)
        return
    try:
        tensors, metadata = load_weights(published)
        own = {**provenance(published, "safetensors"), **notes}
        save_weights(target, tensors, {**metadata, "converted_from": own})
    except UserError:
        if published == target:
            published.unlink()
        raise


def _closing_lines(name: str, folder: Path) -> list[str]:
    lines = []
    if folder.resolve() not in [place.resolve() for place in weights_folders()]:
        lines.append(f"set FOCALDET_WEIGHTS={folder.resolve()} so that it is found by its name")
    lines.append(f"fine-tune it: python train.py data=FOLDER model.weights={name}")
    return lines
