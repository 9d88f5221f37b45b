"""One image: its labels (`Record`), its frame (`ImageMeta`), its pixels (`Sample`).

These live in loader workers, so they contain numpy arrays; batches of tensors are in `batch.py`.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from utils.structures.boxes import clip_boxes

FloatArray = npt.NDArray[np.float32]
LabelArray = npt.NDArray[np.int64]
MaskArray = npt.NDArray[np.bool_]
ImageArray = npt.NDArray[np.uint8]
BoxesT = TypeVar("BoxesT", FloatArray, npt.NDArray[np.float64])


def _check_rows(owner: str, boxes: FloatArray, **columns: npt.NDArray[Any]) -> None:
    if boxes.ndim != 2 or boxes.shape[1] != 4 or boxes.dtype != np.float32:
        raise ValueError(
            f"{owner}.boxes must be float32 (N, 4) xyxy pixels, got {boxes.dtype} {boxes.shape}"
        )
    for name, column in columns.items():
        if column.shape != (len(boxes),):
            raise ValueError(f"{owner}.{name} must be ({len(boxes)},), got {column.shape}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One labelled image on disk, without pixels.

    boxes (N, 4) float32 xyxy pixels of the original image as a viewer shows it (EXIF rotation
    applied); labels (N,) class indices; ignore (N,) marks crowds and difficult objects: not trained
    on, neither rewarded nor punished in evaluation; area (N,) float32 object area in pixels, which
    evaluation uses for its size ranges (segment area where the data has one, else box area).
    N may be 0: a background image.
    """

    path: str
    image_id: int
    size: tuple[int, int]
    """(height, width) in pixels."""
    boxes: FloatArray
    labels: LabelArray
    ignore: MaskArray
    area: FloatArray
    depth: int | None = None
    """Bits that values of a 16-bit file fill, 8 to 16; None for those that it uses."""

    def __post_init__(self) -> None:
        rows = (len(self.boxes),)
        # For each image of a data set at every start: what is right is told in one comparison.
        if not self.labels.shape == self.ignore.shape == self.area.shape == rows or (
            self.boxes.shape != (*rows, 4) or self.boxes.dtype != np.float32
        ):
            _check_rows(
                "Record", self.boxes, labels=self.labels, ignore=self.ignore, area=self.area
            )


def place_boxes(
    boxes: BoxesT, *, scale: tuple[float, float], offset: tuple[float, float]
) -> BoxesT:
    """Map boxes (N, 4) of an image to the frame in which it is placed.

    Args:
        boxes: xyxy pixels of the image.
        scale: (vertical, horizontal) pixels of the frame per pixel of the image.
        offset: (top, left) of the image in the frame.
    """
    (vertical, horizontal), (top, left) = scale, offset
    factors = np.array([horizontal, vertical, horizontal, vertical], boxes.dtype)
    placed: BoxesT = boxes * factors + np.array([left, top, left, top], boxes.dtype)
    return placed


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageMeta:
    """How an image is mapped to the network frame: resized by `scale`, then padded by `pad`.

    `scale` = (vertical, horizontal) is kept per axis because the resized size is rounded to whole
    pixels; one common ratio would misplace boxes by up to half a pixel.
    """

    path: str
    image_id: int
    original_size: tuple[int, int]
    """(height, width) in pixels."""
    scale: tuple[float, float]
    """(vertical, horizontal): network pixels per original pixel."""
    pad: tuple[int, int]
    """(top, left) in network pixels."""

    def to_original(self, boxes: Tensor) -> Tensor:
        """Map boxes (..., 4) from the network frame to the original image and clip them to it."""
        offset = boxes.new_tensor([self.pad[1], self.pad[0], self.pad[1], self.pad[0]])
        scale = boxes.new_tensor([self.scale[1], self.scale[0], self.scale[1], self.scale[0]])
        return clip_boxes((boxes - offset) / scale, self.original_size)

    def to_network(self, boxes: BoxesT) -> BoxesT:
        """Map boxes (N, 4) of the original image to the network frame."""
        return place_boxes(boxes, scale=self.scale, offset=self.pad)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One image with its boxes; every transform maps Sample to Sample.

    image (H, W, 3) uint8 RGB; boxes (N, 4) float32 xyxy pixels of `image`; labels (N,); ignore
    (N,).
    """

    image: ImageArray
    boxes: FloatArray
    labels: LabelArray
    ignore: MaskArray
    meta: ImageMeta

    def __post_init__(self) -> None:
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            raise ValueError(
                f"Sample.image must be uint8 (H, W, 3), got {self.image.dtype} {self.image.shape}"
            )
        _check_rows("Sample", self.boxes, labels=self.labels, ignore=self.ignore)
