"""Read images as a viewer shows them: uint8 RGB, EXIF rotation applied.

JPEG, PNG, BMP, TIFF, WebP, GIF, JPEG 2000, PPM, AVIF where Pillow has it, HEIC with pillow-heif.
Ordinary 8-bit JPEG and PNG go through OpenCV, which is faster; grey,
16-bit, palette, transparent, CMYK and all other images through Pillow. Both give the same pixels.
"""

import importlib.util
import io
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from data.images.header import PlainHeader, read_plain_header
from data.images.values import (
    JPEG_START,
    is_deep,
    read_deep,
    to_8_bits,
    used_bits,
    with_end_marker,
)
from utils.runtime.errors import UserError
from utils.runtime.files.regular_file import UnreadableFileError, read_regular
from utils.runtime.printable import shortened
from utils.structures.images import ImageArray

_HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None
_SUFFIXES = (
    ".jpg .jpeg .jpe .jfif .mpo .png .apng .bmp .dib .tif .tiff .webp .gif .jp2 .j2k "
    ".ppm .pgm .pbm .pnm .avif"
)
IMAGE_SUFFIXES = frozenset((*_SUFFIXES.split(), *([".heic", ".heif"] if _HAS_HEIF else [])))
"""Lower-case file name endings that are taken for images in a folder."""

_FORMATS = ("JPEG", "PNG", "BMP", "DIB", "TIFF", "WEBP", "GIF", "JPEG2000", "PPM", "AVIF", "HEIF")
_DECODE_FLAGS = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
# The bits of "reduced" alone: OpenCV's constants for reduced colour imply BGR, too.
_REDUCTION_FLAGS = {
    1: 0,
    2: cv2.IMREAD_REDUCED_GRAYSCALE_2,
    4: cv2.IMREAD_REDUCED_GRAYSCALE_4,
    8: cv2.IMREAD_REDUCED_GRAYSCALE_8,
}
_LARGEST_SHIFT = 0.25
_JPEG_END = b"\xff\xd9"
_TRAILER_BYTES = 1 << 16
"""Bytes at the end of a file in which the JPEG's end marker is searched: cameras append data."""
LONGEST_SIDE = 65_535
"""Pixels of the longest side that is read, the most that a JPEG can have."""
_ORIENTATION = 0x0112
DEPTH_REMARK = (
    "16-bit image whose values use {bits} bits: these are taken, data.depth says it for all"
)
_HEADER_BYTES = 1 << 16
# Raised by Pillow on files that are damaged or of another format.
_DECODER_ERRORS = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    MemoryError,
    ZeroDivisionError,
    Image.DecompressionBombError,
)


class ImageError(UserError):
    """A file that cannot be used as an image; the text starts with its path."""


def read_image(path: str | Path, depth: int | None = None) -> ImageArray:
    """Return the image as uint8 (H, W, 3) RGB, contiguous, rotated as its EXIF data says.

    Transparent pixels are laid over white; grey is repeated in three channels; of several frames
    the first is taken.

    Args:
        path: the file.
        depth: bits of 16-bit values that hold something, 8 to 16: their upper 8 are taken. None
            takes those that the image uses (8, 10, 12, 14 or 16), so full scale stays full scale.

    Raises:
        ImageError: the file is missing, truncated, not an image or has pixels without a clear
            meaning as 8 bits (32-bit and floating-point).
    """
    data = _read_bytes(path)
    return _decode(path, data, read_plain_header(data), depth=depth)


def read_reduced_image(
    path: str | Path, wanted: tuple[int, int], depth: int | None = None
) -> tuple[ImageArray, tuple[int, int]]:
    """Return an image, possibly decoded at reduced size but at least `wanted`, and its full size.

    A JPEG is decoded at a half, a quarter or an eighth where that is still `wanted` or more; any
    other image comes whole, as `read_image` gives it.

    Args:
        path: the file.
        wanted: (height, width) in pixels as a viewer shows the image.
        depth: as for `read_image`.

    Returns:
        uint8 (h, w, 3) RGB; the (height, width) of the whole image.

    Raises:
        ImageError: as `read_image`.
    """
    data = _read_bytes(path)
    header = read_plain_header(data)
    if header is None or not data.startswith(JPEG_START):
        pixels = _decode(path, data, header, depth=depth)
        return pixels, (pixels.shape[0], pixels.shape[1])
    factor = jpeg_reduction(header.shown_size, wanted)
    return _decode(path, data, header, factor), header.shown_size


@lru_cache(maxsize=1024)
def jpeg_reduction(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """Return by what a JPEG of `size` may be reduced on decoding: 8, 4, 2 or 1; both (h, w).

    The decoder rounds the size up. Where that would shift the far side by more than a quarter of
    a wanted pixel, objects would no longer be where their boxes are, and the factor is refused.
    """
    for factor in (8, 4, 2):
        sides = [(side, goal, -(-side // factor)) for side, goal in zip(size, wanted, strict=True)]
        is_large_enough = all(reduced >= goal for _, goal, reduced in sides)
        shifts = [(reduced * factor - side) * goal / side for side, goal, reduced in sides]
        if is_large_enough and max(shifts) <= _LARGEST_SHIFT:
            return factor
    return 1


def read_image_size(path: str | Path) -> tuple[int, int]:
    """Return (height, width) in pixels as a viewer shows the image, from the file's header alone.

    Raises:
        ImageError: the file is missing or not an image.
    """
    header = _read_jpeg_start(path)
    if header is not None:
        return header.shown_size
    data = _read_bytes(path)
    header = read_plain_header(data)
    if header is not None:
        return header.shown_size
    try:
        with _open(data) as image:
            return _shown_size(image)
    except _DECODER_ERRORS as error:
        raise ImageError(f"{path}: {_explain(error)}") from error


def read_orientation(path: str | Path) -> int:
    """Return the EXIF value of how an image is turned, 1 to 8; 1 where nothing says otherwise.

    Raises:
        ImageError: the file is missing or not an image.
    """
    data = _read_bytes(path)
    header = read_plain_header(data)
    if header is not None:
        return header.orientation
    try:
        with _open(data) as image:
            return _orientation(image)
    except _DECODER_ERRORS as error:
        raise ImageError(f"{path}: {_explain(error)}") from error


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(_ORIENTATION, 1)
    return value if value in range(1, 9) else 1


def check_image(path: str | Path) -> str | None:
    """Decode the whole file and return why it cannot be used, or None if it can.

    Pillow decodes, also where `read_image` would use OpenCV: it detects truncated files in every
    version and prints nothing.
    """
    return inspect_image(path)[1]


class Inspection(NamedTuple):
    """(height, width), why the file cannot be used, and what is unusual about it."""

    size: tuple[int, int]
    fault: str | None
    remark: str = ""


def inspect_image(path: str | Path) -> Inspection:
    """Return the results of `read_image_size` and `check_image`, reading the file once.

    Returns:
        size, None and a remark or "", or (0, 0) and the reason for a file that cannot be used.
    """
    try:
        data = _read_bytes(path)
        pixels = _read_with_pillow(path, data)
        header = read_plain_header(data)
    except ImageError as error:
        return Inspection((0, 0), str(error).removeprefix(f"{path}: "))
    if header:
        return Inspection(header.shown_size, None)
    return Inspection((pixels.shape[0], pixels.shape[1]), None, _remark(data))


def _remark(data: bytes) -> str:
    """Return a remark on a decoded file; "" for none."""
    with _open(data) as image:
        if not is_deep(image):
            return ""
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        if values is None or values.dtype != np.uint16:
            return ""
        bits = used_bits(values[..., :3])
    return "" if bits == 16 else DEPTH_REMARK.format(bits=bits)


def to_rgb(image: Image.Image, depth: int | None = None) -> ImageArray:
    """Return a Pillow image as `read_image` would return its file: uint8 (H, W, 3), upright.

    Raises:
        ValueError: pixels without a clear meaning as 8 bits (32-bit and floating-point).
    """
    return _to_rgb(ImageOps.exif_transpose(image), depth)


def _read_bytes(path: str | Path) -> bytes:
    try:
        data = read_regular(path)
    except UnreadableFileError as error:
        if error.is_missing:
            raise ImageError(f"{shortened(path)}: no such file") from error
        raise ImageError(f"{shortened(path)}: cannot be opened ({error.reason})") from error
    if not data:
        raise ImageError(f"{shortened(path)}: the file is empty")
    return data


def _decode(
    path: str | Path,
    data: bytes,
    header: PlainHeader | None,
    factor: int = 1,
    depth: int | None = None,
) -> ImageArray:
    """Return the upright pixels of a file's bytes, a plain JPEG reduced by `factor`."""
    if header is not None:
        flags = _DECODE_FLAGS | _REDUCTION_FLAGS[factor]
        _refuse_impossible(path, data, header)
        try:
            pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
        except cv2.error:  # beyond a limit of its own
            pixels = None
        if pixels is not None and pixels.size and _is_complete(data):
            return _turn_upright(cast(ImageArray, pixels), header.orientation)
    return _read_with_pillow(path, data, depth)


def _refuse_impossible(path: str | Path, data: bytes, header: PlainHeader) -> None:
    """Raise ImageError for a size that is refused, or that the bytes of a JPEG cannot fill.

    Decoders first allocate all pixels and fill missing ones with grey.
    """
    height, width = header.size
    _refuse_size(path, height, width)
    blocks = -(-height // 8) * -(-width // 8)
    if data.startswith(JPEG_START) and 8 * len(data) < blocks:  # a block has one bit or more
        raise ImageError(
            f"{path}: truncated image ({len(data):,} bytes for {width} x {height} pixels)"
        )


def _refuse_size(path: str | Path, height: int, width: int) -> None:
    if max(height, width) > LONGEST_SIDE:
        raise ImageError(
            f"{path}: of {width} x {height} pixels a side has more than {LONGEST_SIDE:,}"
        )
    most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
    if most and height * width > most:
        raise ImageError(f"{path}: more than {most:,} pixels")


def _is_complete(data: bytes) -> bool:
    """Tell whether a JPEG has an end marker; OpenCV fills what is missing with grey."""
    return not data.startswith(JPEG_START) or _JPEG_END in data[-_TRAILER_BYTES:]


def _read_jpeg_start(path: str | Path) -> PlainHeader | None:
    try:
        start = read_regular(path, first=_HEADER_BYTES)
    except UnreadableFileError:
        return None
    return read_plain_header(start) if start.startswith(JPEG_START) else None


def _open(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=_formats())


@lru_cache(maxsize=1)
def _formats() -> tuple[str, ...]:
    """Return those of the formats that the installed Pillow reads."""
    if _HAS_HEIF:
        import pillow_heif  # type: ignore[import-not-found,unused-ignore]

        pillow_heif.register_heif_opener()
    Image.init()
    return tuple(name for name in _FORMATS if name in Image.OPEN)


def _shown_size(image: Image.Image) -> tuple[int, int]:
    width, height = image.size
    if image.format == "TIFF":
        # Pillow versions differ in whether `size` of an unread TIFF is already rotated.
        tags = cast(Any, image).tag_v2
        width, height = int(tags[256]), int(tags[257])
    is_turned = image.getexif().get(_ORIENTATION, 1) in (5, 6, 7, 8)
    return (width, height) if is_turned else (height, width)


def _read_with_pillow(path: str | Path, data: bytes, depth: int | None = None) -> ImageArray:
    try:
        with _open(data) as image:
            _refuse_size(path, image.height, image.width)
            header = read_plain_header(data)
            if header is not None:
                _refuse_impossible(path, data, header)
            deep = read_deep(data, depth) if is_deep(image) else None
            image.load()
            if deep is not None and deep.shape[:2] == (image.height, image.width):
                return _turn_upright(deep, _orientation(image))
            if header is None:
                return to_rgb(image, depth)
            return _turn_upright(_to_rgb(image), header.orientation)
    except _DECODER_ERRORS as error:
        if (whole := with_end_marker(data)) is not None:
            return _read_with_pillow(path, whole, depth)
        raise ImageError(f"{path}: {_explain(error)}") from error


def _to_rgb(image: Image.Image, depth: int | None = None) -> ImageArray:
    if image.mode.startswith("I;16"):
        return np.repeat(to_8_bits(np.asarray(image), depth)[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError("32-bit pixels have no agreed full scale: convert to 8 or 16 bits")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)
    return np.array(image.convert("RGB"))


def _turn_upright(pixels: ImageArray, orientation: int) -> ImageArray:
    if orientation == 1:
        return pixels
    rotated: npt.NDArray[Any] = pixels.swapaxes(0, 1) if orientation >= 5 else pixels
    if orientation in (3, 4, 7, 8):
        rotated = rotated[::-1]
    if orientation in (2, 3, 6, 7):
        rotated = rotated[:, ::-1]
    return np.ascontiguousarray(rotated)


def _explain(error: BaseException) -> str:
    text = str(error)
    if isinstance(error, UnidentifiedImageError):
        return "not an image in a format that is read (JPEG, PNG, TIFF, WebP, ...)"
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels"
    if "truncated" in text.lower():
        return f"truncated image ({text})"
    return f"damaged or unsupported image ({text or type(error).__name__})"
