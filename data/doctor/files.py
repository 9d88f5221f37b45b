"""Image files that are odd in themselves: rotated by EXIF, blank, tiny, of strange pixels."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from data.doctor.finding import Finding, Place, counted, examples, found
from data.doctor.scan import ImageScan
from data.doctor.subject import SplitTable, Subject

BLANK_CONTRAST = 1.0
"""Standard deviation of grey levels below which an image shows nothing."""
TINY_SIDE = 32
LONGEST = 4.0
_SUFFIXES = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"),
    "MPO": (".jpg", ".jpeg", ".mpo"),
    "PNG": (".png", ".apng"),
    "BMP": (".bmp", ".dib"),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "AVIF": (".avif",),
    "JPEG2000": (".jp2", ".j2k", ".jpx"),
    "PPM": (".ppm", ".pgm", ".pbm", ".pnm"),
}


def check_sizes(subject: Subject) -> Iterator[Finding]:
    """Yield findings on the shape of images; no pixel is needed."""
    for table in subject.splits.values():
        short, long = table.sizes.min(axis=1), table.sizes.max(axis=1)
        for code, chosen in (
            ("image-tiny", short < TINY_SIDE),
            ("image-elongated", long > LONGEST * short),
        ):
            if chosen.any():
                places = [
                    Place(path=table.paths[index], value=_size(table, index))
                    for index in np.flatnonzero(chosen)
                ]
                yield found(code, table.name, _named(places), places)


def check_pixels(subject: Subject) -> Iterator[Finding]:
    """Yield findings on what the scan saw of the files."""
    for table in subject.splits.values():
        seen = [(path, subject.scans[path]) for path in table.paths if path in subject.scans]
        for code, tell in _PIXEL_CHECKS.items():
            told = [(path, tell(path, scan)) for path, scan in seen]
            places = [Place(path=path, value=value) for path, value in told if value]
            if places:
                yield found(code, table.name, _named(places), places)


def _rotated(path: str, scan: ImageScan) -> str:
    return f"EXIF orientation {scan.orientation}" if scan.orientation != 1 else ""


def _wrong_suffix(path: str, scan: ImageScan) -> str:
    expected = _SUFFIXES.get(scan.format)
    is_right = expected is None or Path(path).suffix.lower() in expected
    return "" if is_right else f"content is {scan.format}"


def _odd_pixels(path: str, scan: ImageScan) -> str:
    return "" if scan.mode in ("RGB", "") else f"mode {scan.mode}"


def _frames(path: str, scan: ImageScan) -> str:
    # The further pictures of an MPO are previews and depth maps of the first.
    is_sequence = scan.num_frames > 1 and scan.format != "MPO"
    return f"{scan.num_frames} frames" if is_sequence else ""


def _blank(path: str, scan: ImageScan) -> str:
    return f"contrast {scan.contrast:.1f} of 128" if scan.contrast < BLANK_CONTRAST else ""


_PIXEL_CHECKS: dict[str, Callable[[str, ImageScan], str]] = {
    "exif-rotation": _rotated,
    "suffix-differs": _wrong_suffix,
    "odd-pixels": _odd_pixels,
    "several-frames": _frames,
    "image-blank": _blank,
}


def _named(places: Sequence[Place]) -> str:
    names = [f"{Path(place.path).name} ({place.value})" for place in places]
    return f"{counted(len(places), 'image')}: {examples(names)}"


def _size(table: SplitTable, index: int) -> str:
    height, width = table.sizes[index].tolist()
    return f"{width}x{height}"
