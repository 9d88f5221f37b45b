"""The cache folder of what can be computed again: label index, anchors, decoded images."""

import logging
import os
from functools import lru_cache
from pathlib import Path

import platformdirs

logger = logging.getLogger(__name__)


def user_cache_folder() -> Path:
    """Return $FOCALDET_CACHE, else where the system keeps caches of this program, such as
    $XDG_CACHE_HOME/focaldet or ~/.cache/focaldet; it need not exist.

    A user without a home folder, as in a container with another user id, has no cache: the folder
    returned is unusable, which is logged once.
    """
    folder = os.environ.get("FOCALDET_CACHE")
    if folder:
        return Path(folder)
    try:
        Path.home()  # platformdirs would take "~" for a folder
        return platformdirs.user_cache_path("focaldet", appauthor=False)
    except (RuntimeError, KeyError, OSError):
        _say_homeless()
        return Path(os.devnull) / "focaldet"


@lru_cache(maxsize=1)
def _say_homeless() -> None:
    logger.info("this user has no home folder: nothing is cached; $FOCALDET_CACHE names a folder")
