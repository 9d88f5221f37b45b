"""Store of decoded images by key, filled on first use, shared by all processes and later runs.

Each is a file of 64 bytes of header, then the pixels as in memory. It is written under a temporary
name and renamed when complete. It is not synchronised to disk, which would cost more than decoding;
damage by a power failure is detected by the checksum.
"""

import contextlib
import logging
import os
import struct
import tempfile
import zlib
from collections.abc import Callable
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

import numpy as np

from utils.structures.images import ImageArray

KEY_BYTES = 16
TEMPORARY_SUFFIX = ".tmp"

_BINARY = getattr(os, "O_BINARY", 0)
"""Windows would change line ends."""
_MAGIC = b"FDpixel1"
_HEADER = struct.Struct(f"<8s{KEY_BYTES}sIII28x")
"""Magic, key, height, width, CRC-32 of the pixels."""


def entry_bytes(size: tuple[int, int]) -> int:
    """Return the bytes of the file of an image of `size` = (height, width)."""
    return _HEADER.size + 3 * size[0] * size[1]


def read_entry(
    path: str, key: bytes, size: tuple[int, int], *, check: bool = True
) -> ImageArray | None:
    """Return the image (H, W, 3) of a file, read-only; None for any other file.

    The file is read, not mapped: mapping, touching and unmapping its pages takes twice as long, and
    a mapped file that becomes shorter ends the process.

    Args:
        path: the file; it need not exist.
        key: what it must have been written under.
        size: (height, width) it must have.
        check: compare the pixels with their checksum too.
    """
    wanted = entry_bytes(size)
    try:
        # Not `open`, which takes as long as the rest: a mosaic opens four files in a millisecond.
        handle = os.open(path, os.O_RDONLY | _BINARY)
        try:
            content = os.read(handle, wanted + 1)  # one more tells a longer file
        finally:
            os.close(handle)
    except OSError:
        return None
    if len(content) != wanted:
        return None
    magic, own_key, height, width, checksum = _HEADER.unpack_from(content)
    if (magic, own_key, (height, width)) != (_MAGIC, key, size):
        return None
    pixels = np.frombuffer(content, np.uint8, offset=_HEADER.size)
    if check and zlib.crc32(pixels.data) != checksum:
        return None
    return pixels.reshape(height, width, 3)


def write_entry(path: str, key: bytes, image: ImageArray) -> None:
    """Write `image` (H, W, 3), replacing the file atomically; missing folders are created.

    Raises:
        OSError: the disk is full or not writable; nothing is left behind.
    """
    image = np.ascontiguousarray(image)
    header = _HEADER.pack(_MAGIC, key, image.shape[0], image.shape[1], zlib.crc32(image.data))
    folder = os.path.dirname(path)
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=folder, suffix=TEMPORARY_SUFFIX)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            for part in (memoryview(header), image.data.cast("B")):
                _write_all(file.fileno(), part)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _write_all(handle: int, part: memoryview) -> None:
    # A disk that fills up accepts a part first and fails only at the next call.
    while part:
        part = part[os.write(handle, part) :]


LAST_KEY = b"\xff" * KEY_BYTES

_logger = logging.getLogger(__name__)


def entry_path(folder: str | Path, key: bytes) -> str:
    """Return the path of the image of `key`, in one of 256 subfolders to keep each small."""
    name = key.hex()
    return f"{folder}{os.sep}{name[:2]}{os.sep}{name[2:]}.pixels"  # a path join takes longer


class ImageCache:
    """A folder of decoded images; any number of processes may read and write it at once."""

    def __init__(self, folder: Path, *, last_key: bytes = LAST_KEY) -> None:
        """Open the cache.

        Args:
            folder: of the images; created with the first one.
            last_key: greatest key that is kept. Keys are digests, so this is a random share of the
                images, the same in every process, if not all fit.
        """
        self._folder = str(folder)
        self._last_key = last_key
        # Checked once a process, not once an epoch: only a power failure can tear a file.
        self._checked: set[bytes] = set()
        self._is_closed = RawValue("b", 0)  # shared with the workers

    def get(self, key: bytes, size: tuple[int, int], make: Callable[[], ImageArray]) -> ImageArray:
        """Return the image stored under `key`, else the result of `make`, which is then stored.

        Args:
            key: digest of all that determines the pixels.
            size: (height, width) of the image.
            make: gives the image (H, W, 3).

        Returns:
            (H, W, 3) uint8, not to be written to.
        """
        if key > self._last_key:
            return make()
        path = entry_path(self._folder, key)
        image = read_entry(path, key, size, check=key not in self._checked)
        if image is None:
            image = make()
            self._keep(path, key, image)
        else:
            self._checked.add(key)
        return image

    def _keep(self, path: str, key: bytes, image: ImageArray) -> None:
        if self._is_closed.value:
            return
        try:
            write_entry(path, key, image)
            self._checked.add(key)
        except OSError as error:
            already_said, self._is_closed.value = self._is_closed.value, 1
            if not already_said:
                _logger.warning(
                    "no more decoded images are cached, so loading stays slower: %s", error
                )
