"""What every image file looks like: hash of its bytes, a thumbnail, kind of pixels, rotation.

Images are decoded at a reduced size, in threads (the decoders and the hash release Python's lock),
and what was seen is kept until the file's size or time of change differs.
"""

import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from data.images import header as image_header
from data.images import io as image_io
from data.images.facts import Stamp, stamp_file
from data.index_cache import CacheEntry, IndexCache, hash_files
from utils.runtime.files.regular_file import UnreadableFileError, read_regular
from utils.runtime.machine.memory import reuse_freed_memory
from utils.runtime.progress import progress_bar

SIDE = 16
"""Width and height of a thumbnail in pixels."""
_DECODED_AT = (4 * SIDE, 4 * SIDE)
_DIGEST_BYTES = 16
_ORIENTATION = 0x0112
_CHUNK = 16

Thumbnail = npt.NDArray[np.uint8]


class ImageScan(NamedTuple):
    """What was seen of one file."""

    stamp: Stamp
    digest: bytes
    """Of the bytes of the file; empty where it cannot be read."""
    thumbnail: Thumbnail
    """(16, 16) grey, the whole image squeezed into it, upright."""
    contrast: float
    """Largest standard deviation of a colour channel, 0 to 128; 0 is an image of one colour."""
    orientation: int
    """EXIF value, 1 to 8; 1 is upright."""
    num_frames: int
    format: str
    """JPEG, PNG, ...; empty where Pillow does not know it."""
    mode: str
    """Pillow's word for the kind of pixels: RGB, L, I;16, P, CMYK, RGBA."""


def scan_images(
    paths: Iterable[str], *, cache: IndexCache | None, name: str
) -> dict[str, ImageScan]:
    """Return what each image looks like; those that cannot be read are left out.

    Args:
        paths: the files.
        cache: where results are kept under `name`; None looks at every file.
        name: entry of the cache.
    """
    sources = (__file__, image_io.__file__, image_header.__file__)
    key = hash_files(Path(str(source)) for source in sources)
    known = _load(cache, name, key) if cache else {}
    stamps = {path: stamp_file(path) for path in paths}
    scans = {
        path: known[path]
        for path, stamp in stamps.items()
        if path in known and known[path].stamp == stamp
    }
    changed = [path for path in stamps if path not in scans]
    if changed:
        reuse_freed_memory()  # each image anew would cost a third of the time
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        seen = pool.map(_scan_safely, changed, chunksize=_CHUNK)
        title, total = "looking at images", len(changed)
        bar = progress_bar(title, total=total, unit="image", over=seen, delay=1)
        scans |= {path: scan for path, scan in zip(changed, bar, strict=True) if scan is not None}
    if cache and changed:
        _save(cache, name, key, scans)
    return scans


def scan_image(path: str) -> ImageScan:
    """Return what one image looks like.

    Raises:
        ImageError: it cannot be read as an image.
    """
    stamp = stamp_file(path)
    pixels, _ = image_io.read_reduced_image(path, _DECODED_AT)
    data = read_regular(path)
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    spread = cv2.meanStdDev(pixels)[1]
    kind = _describe(data)
    return ImageScan(
        stamp=stamp,
        digest=hashlib.blake2b(data, digest_size=_DIGEST_BYTES).digest(),
        thumbnail=cast(Thumbnail, cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA)),
        contrast=float(np.float32(np.max(spread))),
        orientation=kind[0],
        num_frames=kind[1],
        format=kind[2],
        mode=kind[3],
    )


def _scan_safely(path: str) -> ImageScan | None:
    try:
        return scan_image(path)
    except (image_io.ImageError, UnreadableFileError, OSError, cv2.error):
        return None


def _describe(data: bytes) -> tuple[int, int, str, str]:
    """Return orientation, frames, format and mode, by Pillow's reading of the header alone."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            orientation = image.getexif().get(_ORIENTATION, 1)
            known = orientation if orientation in range(1, 9) else 1
            return known, getattr(image, "n_frames", 1), image.format or "", image.mode
    except Exception:  # a header that only the decoder understands is not a fault of the image
        return 1, 1, "", ""


def _load(cache: IndexCache, name: str, key: str) -> dict[str, ImageScan]:
    entry = cache.load(name, key)
    if entry is None:
        return {}
    facts, arrays = entry.facts, entry.arrays
    scans = {}
    for row, (path, (image_format, mode)) in enumerate(
        zip(facts["paths"], facts["kinds"], strict=True)
    ):
        num_bytes, changed, orientation, num_frames = arrays["numbers"][row].tolist()
        scans[path] = ImageScan(
            stamp=Stamp(num_bytes, changed),
            digest=arrays["digests"][row].tobytes(),
            thumbnail=arrays["thumbnails"][row],
            contrast=float(arrays["contrasts"][row]),
            orientation=orientation,
            num_frames=num_frames,
            format=image_format,
            mode=mode,
        )
    return scans


def _save(cache: IndexCache, name: str, key: str, scans: Mapping[str, ImageScan]) -> None:
    seen = list(scans.values())
    digests = b"".join(scan.digest for scan in seen)
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "digests": np.frombuffer(digests, np.uint8).reshape(-1, _DIGEST_BYTES),
        "thumbnails": np.array([scan.thumbnail for scan in seen], np.uint8).reshape(-1, SIDE, SIDE),
        "contrasts": np.array([scan.contrast for scan in seen], np.float32),
        "numbers": np.array(
            [(*scan.stamp, scan.orientation, scan.num_frames) for scan in seen], np.int64
        ).reshape(-1, 4),
    }
    facts = {"paths": list(scans), "kinds": [(scan.format, scan.mode) for scan in seen]}
    cache.save(name, key, CacheEntry(arrays=arrays, facts=facts))
