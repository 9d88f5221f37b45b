"""Where the program keeps what it can make again: label index, anchors, decoded images."""

import os
from pathlib import Path


def user_cache_folder() -> Path:
    """Return $FOCALDET_CACHE, else ~/.cache/focaldet; it need not exist."""
    folder = os.environ.get("FOCALDET_CACHE")
    return Path(folder) if folder else Path.home() / ".cache" / "focaldet"
