"""Store of images by key, filled on first use and shared by all processes and later runs."""

import logging
import os
from collections.abc import Callable
from multiprocessing.sharedctypes import RawValue
from pathlib import Path

from data.images.cache.entry import KEY_BYTES, map_entry, write_entry
from utils.structures.images import ImageArray

LAST_KEY = b"\xff" * KEY_BYTES

_logger = logging.getLogger(__name__)


def entry_path(folder: Path, key: bytes) -> str:
    """Return the path of the image of `key`, in one of 256 subfolders to keep each small."""
    name = key.hex()
    return os.path.join(folder, name[:2], f"{name[2:]}.pixels")


class ImageCache:
    """A folder of decoded images; any number of processes may read and write it at once."""

    def __init__(self, folder: Path, *, last_key: bytes = LAST_KEY) -> None:
        """Open the cache.

        Args:
            folder: of the images; created with the first one.
            last_key: greatest key that is kept. Keys are digests, so this is a random share of the
                images, the same in every process, if not all fit.
        """
        self._folder = folder
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
        image = map_entry(path, key, size, check=key not in self._checked)
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
                    "no further images are kept decoded, loading stays slower: %s", error
                )
