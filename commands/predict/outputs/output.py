"""Base of all kinds of output."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from data.sources.frame import Frame
from utils.report.drawing import Picture, Style, draw_boxes, enlarge_to
from utils.runtime.files.atomic import cannot_write
from utils.structures.images import ImageArray
from utils.structures.results import Detections

SMALLEST_SIDE = 480
"""Long side of an annotated picture in pixels, at least."""


class Output(Protocol):
    """Takes the results of one picture after the other; `close` finishes the files."""

    def write(self, frame: Frame, image: Callable[[], ImageArray], found: Detections) -> None:
        """Write the detections of a picture.

        Args:
            frame: the picture.
            image: returns its pixels (H, W, 3) RGB, not to be changed; reads the file again.
            found: detections, boxes in the frame of the picture, best first.
        """

    def close(self) -> None:
        """Finish; also called after a failure."""


def annotated(
    image: ImageArray, found: Detections, class_names: tuple[str, ...], style: Style
) -> Picture:
    """Return a copy of `image` (H, W, 3) with the detections drawn on it.

    A small picture is enlarged by a whole factor: class names would cover it.
    """
    canvas, factor = enlarge_to(image, SMALLEST_SIDE)
    boxes, scores = found.boxes.numpy() * factor, found.scores.numpy()
    return draw_boxes(canvas, boxes, found.labels.numpy(), class_names, scores, style)


LONGEST_NAME = 255
"""Bytes of a file name that the usual file systems take."""


def fitting_name(name: str, end: str) -> str:
    """Return `name` with `end`, cut to what a file may be called, still different from others."""
    folder, _, last = name.rpartition("/")
    encoded = os.fsencode(last)
    room = LONGEST_NAME - len(os.fsencode(end))
    if len(encoded) > room:
        digest = hashlib.sha256(encoded).hexdigest()[:8]
        last = f"{os.fsdecode(encoded[: room - 9]).encode('utf-8', 'ignore').decode()}-{digest}"
    return f"{folder}/{last}{end}" if folder else f"{last}{end}"


def write_file(path: Path, content: bytes) -> None:
    """Write a file and the folders above it.

    Raises:
        BadNameError: a file of that name is not possible, others are.
        UserError: nothing can be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except (OSError, ValueError) as error:
        raise cannot_write(path, error) from error
