"""Fitted anchors kept between runs, by the content of what they were fitted to.

Files are JSON in the user's cache folder. A cache that cannot be read or written is not a fault:
the anchors are then fitted again.
"""

import contextlib
import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from utils.runtime.errors import UserError
from utils.runtime.files.atomic import write_json
from utils.runtime.files.cache_folder import user_cache_folder
from utils.runtime.files.json_file import read_json_object

FITTER_VERSION = 1
"""Increased whenever the same boxes give other anchors."""


def _folder() -> Path:
    return user_cache_folder() / "anchors"


def key_of(
    sizes_wh: npt.NDArray[np.float64],
    anchors: npt.NDArray[np.float64],
    *,
    max_ratio: float,
    seed: int,
) -> str:
    """Return a digest of all inputs of fitting: boxes (N, 2), anchors (L, A, 2), settings."""
    digest = hashlib.sha256(
        repr((FITTER_VERSION, sizes_wh.shape, anchors.shape, float(max_ratio), seed)).encode()
    )
    for array in (sizes_wh, anchors):
        digest.update(np.ascontiguousarray(array, dtype="<f8").tobytes())
    return digest.hexdigest()


def read(key: str, shape: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
    """Return the anchors (L, A, 2) kept under `key`, or None where nothing usable is kept."""
    try:
        content = read_json_object(_folder() / f"{key}.json")
        anchors = np.array(content["anchors"], np.float64)
    except (UserError, ValueError, KeyError, TypeError, OverflowError):
        return None
    is_usable = anchors.shape == shape and bool(np.isfinite(anchors).all()) and anchors.min() > 0
    return anchors if is_usable else None


def write(key: str, anchors: npt.NDArray[np.float64]) -> None:
    """Keep anchors (L, A, 2) under `key`."""
    with contextlib.suppress(OSError, UserError):
        _folder().mkdir(parents=True, exist_ok=True)
        write_json(_folder() / f"{key}.json", {"anchors": anchors.tolist()})
