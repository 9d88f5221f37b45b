"""Options of val.py and predict.py for tiles and test-time augmentation."""

import argparse
from dataclasses import dataclass

SMALLEST_TILE = 32
LARGEST_OVERLAP = 0.9


@dataclass(frozen=True)
class ViewOptions:
    """The views of each picture; the whole picture once by default."""

    tta: bool = False
    tile: int | None = None
    """Side of a tile in pixels of the picture."""
    overlap: float = 0.2
    """Share of a tile that its neighbour covers too."""

    @property
    def is_needed(self) -> bool:
        """Whether there is more than one view."""
        return self.tta or self.tile is not None


TRUST_HELP = (
    "run a file that is a program: .torchscript, OpenVINO with custom operations, and weights "
    "whose network uses blocks of your own module; only for files from people you trust. Not "
    "needed for .safetensors, .pt and .onnx, which are read as data"
)

AS_IT_IS = ViewOptions()
"""One view, the whole picture."""


def add_view_options(parser: argparse.ArgumentParser) -> None:
    """Let a command line take `--tta`, `--tile` and `--overlap`."""
    parser.add_argument(
        "--tta",
        action="store_true",
        help="test-time augmentation: run every image at three scales, each also flipped, and "
        "merge by NMS; about six times slower",
    )
    parser.add_argument(
        "--tile",
        metavar="SIZE",
        type=int,
        help="also run larger images in tiles of SIZE pixels, for small objects in large images; "
        f"from {SMALLEST_TILE}",
    )
    parser.add_argument(
        "--overlap",
        metavar="SHARE",
        type=float,
        help="overlap of neighbouring tiles as a share of the tile, 0 to "
        f"{LARGEST_OVERLAP}; smaller objects are never cut; default 0.2",
    )


def read_view_options(parser: argparse.ArgumentParser, command: argparse.Namespace) -> ViewOptions:
    """Return the options of a parsed command line.

    Raises:
        SystemExit: With code 2 after one line on stderr.
    """
    tile, overlap = command.tile, command.overlap
    if overlap is not None and tile is None:
        parser.error("--overlap has no effect without --tile SIZE")
    if tile is not None and tile < SMALLEST_TILE:
        parser.error(f"--tile {tile}: must be from {SMALLEST_TILE} pixels")
    if overlap is not None and not 0 <= overlap <= LARGEST_OVERLAP:
        parser.error(f"--overlap {overlap:g}: must be 0 to {LARGEST_OVERLAP}")
    return ViewOptions(
        tta=command.tta, tile=tile, overlap=ViewOptions.overlap if overlap is None else overlap
    )
