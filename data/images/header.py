"""Parse the header of a JPEG or PNG: size, kind of pixels, EXIF rotation.

By it `image_io.py` decides whether the fast decoder gives the right pixels.
No pixel is decoded here.
"""

import struct
from dataclasses import dataclass

from PIL import Image

_ORIENTATION = 0x0112
_EXIF_START = b"Exif\x00\x00"
_FRAME_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD8)))
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, 0xD9

# PNG chunks that need more than a plain decoder: rotation, transparency, animation.
_SPECIAL_PNG_CHUNKS = (b"eXIf", b"tRNS", b"acTL", b"Raw profile type", b"adobe.xmp")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainHeader:
    """An 8-bit grey or RGB image without transparency, as nearly all images are."""

    size: tuple[int, int]
    """(height, width) in pixels as stored, before rotation."""
    orientation: int
    """EXIF value, 1 to 8; 1 is upright, 5 to 8 swap height and width."""

    @property
    def shown_size(self) -> tuple[int, int]:
        """(height, width) in pixels as a viewer shows the image."""
        height, width = self.size
        return (width, height) if self.orientation >= 5 else (height, width)


def read_plain_header(data: bytes) -> PlainHeader | None:
    """Return the header of a plain JPEG or PNG; None for any other, or where `data` ends too soon.

    Args:
        data: the file from its first byte. For a PNG the whole file, since chunks that matter may
            come late; a JPEG needs all bytes up to its frame header.
    """
    if data.startswith(b"\xff\xd8"):
        return _read_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _read_png(data)
    return None


def _read_jpeg(data: bytes) -> PlainHeader | None:
    orientation, position = 1, 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF or marker in _BARE_MARKERS:
            position += 1 if marker == 0xFF else 2
            continue
        if marker in (_START_OF_SCAN, _END_OF_IMAGE):
            return None
        (length,) = struct.unpack_from(">H", data, position + 2)
        body = data[position + 4 : position + 2 + length]
        if marker in _FRAME_MARKERS:
            return _read_jpeg_frame(body, orientation)
        if marker == 0xE1 and body.startswith(_EXIF_START):
            orientation = _read_orientation(body)
        position += 2 + length
    return None


def _read_jpeg_frame(body: bytes, orientation: int) -> PlainHeader | None:
    if len(body) < 6:
        return None
    precision, height, width, components = struct.unpack_from(">BHHB", body)
    if precision != 8 or components not in (1, 3) or 0 in (height, width):
        return None
    return PlainHeader(size=(height, width), orientation=orientation)


def _read_orientation(exif_block: bytes) -> int:
    exif = Image.Exif()
    try:
        exif.load(exif_block)
        value = exif.get(_ORIENTATION, 1)
    except (SyntaxError, ValueError, TypeError, KeyError, OSError, struct.error):
        # Broken EXIF is common and harmless: viewers show such an image as stored.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _read_png(data: bytes) -> PlainHeader | None:
    if len(data) < 33 or data[12:16] != b"IHDR":
        return None
    width, height, depth, color = struct.unpack_from(">IIBB", data, 16)
    is_plain = depth == 8 and color in (0, 2) and 0 not in (height, width)
    if not is_plain or any(chunk in data for chunk in _SPECIAL_PNG_CHUNKS):
        return None
    return PlainHeader(size=(height, width), orientation=1)
