"""Readers of the pixels of a record: the whole image, or shrunk to the size at which it is used.

The result depends only on the file and the reader's settings, never on the cache, so training and
evaluation see the same pixels with and without it.
"""

import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import numpy.typing as npt
import PIL

from data.images import header as image_header
from data.images import io as image_io
from data.images import letterbox, values
from data.images.cache.store import KEY_BYTES, ImageCache, entry_bytes
from data.images.facts import stamp_file
from data.images.io import jpeg_reduction, read_image, read_reduced_image
from data.images.letterbox import fit_size, fit_sizes
from data.index_cache import hash_files, hash_parts
from utils.runtime.errors import UserError
from utils.structures.images import ImageArray, Record

ReadRecord = Callable[[Record], ImageArray]
"""Pixels (h, w, 3) uint8 RGB that cover the whole image of a record, not to be written to."""


def read_record(record: Record) -> ImageArray:
    """Return all pixels (H, W, 3) uint8 RGB of `record`.

    Raises:
        UserError: the file cannot be read, or its size is no longer the record's.
    """
    image = read_image(record.path, record.depth)
    _require_size(record, (image.shape[0], image.shape[1]))
    return image


def shrunk_size(size: tuple[int, int], side: int) -> tuple[int, int]:
    """Return `size` = (height, width) scaled to a long side of `side`; smaller images stay."""
    return fit_size(size, side) if max(size) > side else size


class ShrinkingReader:
    """Reads records with their long side shrunk to `side` pixels, by area averages.

    For training, YOLO trainers do so before augmentation; zooming in on an object magnifies the
    shrunk image. For evaluation it is the resize of the letterbox.
    """

    def __init__(self, side: int, *, exact: bool, cache: ImageCache | None = None) -> None:
        """Initialise the reader.

        Args:
            side: longest side of the images returned, pixels.
            exact: decode whole images before shrinking, as evaluation does; else a large JPEG is
                decoded at a fraction of its size, which is faster and differs in single levels.
            cache: where shrunk images are kept; None reads the file each time.
        """
        self._side = side
        self._exact = exact
        self._cache = cache
        self._version = _version()

    def __call__(self, record: Record) -> ImageArray:
        """Return the pixels (h, w, 3) uint8 RGB of `record`, read-only where they are cached.

        Raises:
            UserError: the file cannot be read, or its size is no longer the record's.
        """
        size = shrunk_size(record.size, self._side)
        if self._cache is None:
            return self._read(record, size)
        return self._cache.get(self._key(record, size), size, lambda: self._read(record, size))

    def sizes(self, sizes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Return the (height, width) that records of `sizes` (M, 2) are shrunk to, (M, 2)."""
        is_large = sizes.max(axis=1, keepdims=True) > self._side
        return np.where(is_large, fit_sizes(sizes, self._side), sizes)

    def wanted(self, records: Iterable[Record]) -> dict[bytes, int]:
        """Return the bytes that each record takes in a cache, by key."""
        sizes = ((record, shrunk_size(record.size, self._side)) for record in records)
        return {self._key(record, size): entry_bytes(size) for record, size in sizes}

    def _read(self, record: Record, size: tuple[int, int]) -> ImageArray:
        if size == record.size:
            return read_record(record)
        if self._exact:
            image = read_record(record)
        else:
            image, whole_size = read_reduced_image(record.path, size, record.depth)
            _require_size(record, whole_size)
        if image.shape[:2] == size:
            return image
        shrunk = cv2.resize(image, (size[1], size[0]), interpolation=cv2.INTER_AREA)
        return cast(ImageArray, shrunk)

    def _key(self, record: Record, size: tuple[int, int]) -> bytes:
        """Return a digest of all that determines the pixels: file, size, reader, program."""
        is_whole = self._exact or jpeg_reduction(record.size, size) == 1
        num_bytes, mtime_ns = stamp_file(record.path)
        # A path contains no zero byte, so no two sets of parts give the same text.
        facts = f"{num_bytes} {mtime_ns} {size} {is_whole} {record.depth}"
        text = f"{self._version} {facts}\0{record.path}"
        content = text.encode("utf-8", "surrogateescape")
        return hashlib.blake2b(content, digest_size=KEY_BYTES).digest()


def _require_size(record: Record, size: tuple[int, int]) -> None:
    if size != record.size:
        raise UserError(
            f"{record.path}: is {size[0]} x {size[1]} pixels (height x width) but "
            f"was {record.size[0]} x {record.size[1]} when its labels were read; start again"
        )


def _version() -> str:
    """Return a digest of our sources and the versions of the decoders."""
    modules = (image_header, image_io, letterbox, values)
    sources = [Path(str(module.__file__)) for module in modules]
    return hash_parts((hash_files([*sources, Path(__file__)]), cv2.__version__, PIL.__version__))
