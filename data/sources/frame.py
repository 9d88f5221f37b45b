"""One picture of a source, and one that could not be read."""

from dataclasses import dataclass

from data.images.io import read_image
from utils.structures.images import ImageArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture that went into the network.

    Pictures of videos and streams are kept in `pixels`; still ones are read again for drawing,
    because a batch of very large ones would not fit into memory.
    """

    source: str
    """File or address it comes from, passwords left out."""
    name: str
    """Where its results go: a relative path without suffix, different for every source."""
    image_id: int
    size: tuple[int, int]
    """(height, width) in pixels."""
    number: int | None = None
    """Position in its video or stream, from 0; None for a still picture."""
    frame_rate: float = 0.0
    """Pictures per second of its video or stream; 0 for a still picture."""
    pixels: ImageArray | None = None
    depth: int | None = None
    """Bits that values of a 16-bit file fill; None for those that it uses."""

    def image(self) -> ImageArray:
        """Return the picture (H, W, 3) uint8 RGB.

        Raises:
            ImageError: the file cannot be read any more.
        """
        return read_image(self.source, self.depth) if self.pixels is None else self.pixels

    @property
    def numbered_name(self) -> str:
        """`name`, with the number where there is one: different for every picture."""
        return self.name if self.number is None else f"{self.name}/{self.number:06d}"


@dataclass(frozen=True, slots=True)
class Skipped:
    """Something that could not be read; `count` pictures of `source`."""

    source: str
    reason: str
    count: int = 1
