"""Annotated pictures, annotated videos, and crops of the boxes."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from commands.predict.outputs.output import annotated, fitting_name, write_file
from data.sources.frame import Frame
from utils.report.drawing import DEFAULT_STYLE, Style, encode_jpeg
from utils.runtime.errors import UserError
from utils.runtime.printable import as_file_name
from utils.structures.images import ImageArray
from utils.structures.results import Detections

VIDEO_CODE = "mp4v"
JPEG_QUALITY = 92


@dataclass(frozen=True, slots=True)
class AnnotatedImages:
    """Still pictures with boxes, as `folder/name.jpg`."""

    folder: Path
    class_names: tuple[str, ...]
    style: Style = DEFAULT_STYLE

    def write(self, frame: Frame, image: Callable[[], ImageArray], found: Detections) -> None:
        """Draw and write a still picture."""
        if frame.number is None:
            picture = annotated(image(), found, self.class_names, self.style)
            path = self.folder / fitting_name(frame.name, ".jpg")
            write_file(path, encode_jpeg(picture, JPEG_QUALITY))

    def close(self) -> None:
        """Do nothing: every picture is complete."""


@dataclass(frozen=True, slots=True)
class Crops:
    """The inside of every box, as `folder/class/name_number.jpg`; number counts from 0."""

    folder: Path
    class_names: tuple[str, ...]

    def write(self, frame: Frame, image: Callable[[], ImageArray], found: Detections) -> None:
        """Crop and write every box of at least one pixel."""
        if not len(found):
            return
        pixels = image()
        height, width = frame.size
        for number, (box, label) in enumerate(
            zip(found.boxes.tolist(), found.labels.tolist(), strict=True)
        ):
            left, top = (max(0, math.floor(corner)) for corner in box[:2])
            right, bottom = min(width, math.ceil(box[2])), min(height, math.ceil(box[3]))
            if right > left and bottom > top:
                folder = self.folder / as_file_name(self.class_names[label])
                crop = encode_jpeg(pixels[top:bottom, left:right], JPEG_QUALITY)
                write_file(folder / fitting_name(frame.numbered_name, f"_{number}.jpg"), crop)

    def close(self) -> None:
        """Do nothing: every picture is complete."""


@dataclass(slots=True)
class AnnotatedVideos:
    """Videos and streams with boxes, as `folder/name.mp4` at their own frame rate.

    The format wants even sides: of an odd number of pixels the last is cut off.
    """

    folder: Path
    class_names: tuple[str, ...]
    style: Style = DEFAULT_STYLE
    _writer: cv2.VideoWriter | None = field(default=None, init=False)
    _name: str = field(default="", init=False)
    _size_wh: tuple[int, int] = field(default=(0, 0), init=False)

    def write(self, frame: Frame, image: Callable[[], ImageArray], found: Detections) -> None:
        """Draw and append a picture; a new source starts a new file."""
        if frame.number is None:
            return
        picture = annotated(image(), found, self.class_names, self.style)
        writer = self._writer
        if writer is None or frame.name != self._name:
            writer = self._start(frame, picture.shape[1::-1])
        if picture.shape[1::-1] != self._size_wh:
            # A stream came back with another size; a file has one size from start to end.
            resized = cv2.resize(picture, self._size_wh, interpolation=cv2.INTER_AREA)
            picture = np.asarray(resized, np.uint8)
        writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file that is being written."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _start(self, frame: Frame, size_wh: tuple[int, ...]) -> cv2.VideoWriter:
        self.close()
        path = self.folder / f"{frame.name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = size_wh
        code = cv2.VideoWriter.fourcc(*VIDEO_CODE)
        writer = cv2.VideoWriter(str(path), code, frame.frame_rate, (width, height))
        if not writer.isOpened():
            raise UserError(
                f"cannot write {path}: OpenCV finds no {VIDEO_CODE} encoder or no space; "
                "leave video out of --save"
            )
        self._writer, self._name, self._size_wh = writer, frame.name, (width, height)
        return writer
