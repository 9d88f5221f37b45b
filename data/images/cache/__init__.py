"""Decoded images on disk, mapped into memory, so that all loader workers share the same pages.

A file of its own for each image (`entry.py`) in the user's cache folder, found by a key that the
caller makes from all that decides the pixels (`store.py`). How much may be kept, and what an
earlier training left, is settled once at the start (`room.py`).
"""

from data.images.cache.room import open_image_cache
from data.images.cache.store import ImageCache

__all__ = ["ImageCache", "open_image_cache"]
