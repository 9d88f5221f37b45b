"""Disk cache of decoded images; all loader workers read the same files, which the system keeps in
memory once.

A file of its own for each image in the user's cache folder, addressed by a key made from all that
determines the pixels (`store.py`). The size limit, and what to evict, is decided once
at the start (`room.py`).
"""

from data.images.cache.room import open_image_cache
from data.images.cache.store import ImageCache

__all__ = ["ImageCache", "open_image_cache"]
