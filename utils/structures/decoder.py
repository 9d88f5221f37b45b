"""Protocol of decoders: how the raw output of a head is read, without knowing the head.

Legend: K channels of a prediction, D of them for the box, C classes.
"""

from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor


class RawParts(NamedTuple):
    """Views of raw output (..., K): box (..., D), objectness (...) or None, classes (..., C)."""

    box: Tensor
    objectness: Tensor | None
    classes: Tensor


class Decoder(Protocol):
    """How the raw output of a head is decoded.

    Has neither weights nor tensors, so it goes with the predictions to any device, process or
    compiled step.
    """

    @property
    def has_objectness(self) -> bool:
        """Whether a prediction has an objectness beside its classes."""
        ...

    def num_channels(self, num_classes: int) -> int:
        """Return K, the channels of a prediction of `num_classes` classes."""
        ...

    def split(self, raw: Tensor) -> RawParts:
        """Return the parts of raw output (..., K), views of it."""
        ...

    def boxes(
        self, coded: Tensor, cells_xy: Tensor, anchors: Tensor | None, stride: float
    ) -> Tensor:
        """Return boxes (..., 4) xyxy of the box part of raw output, with its gradient.

        Everything is in one unit of length, `stride` long per cell: pixels with the stride of the
        level, or grid units with stride 1.

        Args:
            coded: (..., D) before any activation.
            cells_xy: (..., 2) column and row of the cells, or a scalar 0 for boxes relative to the
                corner of their cell; broadcast against `coded`.
            anchors: (..., 2) width and height; None for a head without anchors.
            stride: length of a cell.
        """
        ...


@runtime_checkable
class Encoder(Decoder, Protocol):
    """A decoder with an inverse, for losses of the coded values themselves."""

    def encode(self, boxes: Tensor) -> Tensor:
        """Return the codes (..., 4) of boxes (..., 4) xyxy in cells from the corner of their cell,
        without gradient through the decoder; of distributions, what their means should be.
        """
        ...
