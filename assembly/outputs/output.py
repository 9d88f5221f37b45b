"""What every kind of output has in common."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from data.sources.frame import Frame
from utils.report.drawing import draw_boxes
from utils.runtime.atomic import cannot_write
from utils.structures.images import ImageArray
from utils.structures.results import Detections


class Output(Protocol):
    """Takes the results of one picture after the other; `close` finishes the files."""

    def write(self, frame: Frame, image: Callable[[], ImageArray], found: Detections) -> None:
        """Take what was found in a picture.

        Args:
            frame: the picture.
            image: returns its pixels (H, W, 3) RGB, not to be changed; costs a reading.
            found: boxes in the frame of the picture, best first.
        """

    def close(self) -> None:
        """Finish; also called after a failure."""


def annotated(
    image: ImageArray, found: Detections, class_names: tuple[str, ...]
) -> npt.NDArray[np.uint8]:
    """Return a copy of `image` (H, W, 3) with what was found drawn on it."""
    return draw_boxes(
        image, found.boxes.numpy(), found.labels.numpy(), class_names, found.scores.numpy()
    )


def write_file(path: Path, content: bytes) -> None:
    """Write a file and the folders above it.

    Raises:
        UserError: that is not possible.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise cannot_write(path, error) from error
