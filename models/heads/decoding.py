"""The layout of raw output that the heads here share: box, objectness if any, classes."""

from dataclasses import dataclass

from torch import Tensor

from utils.structures.decoder import RawParts


@dataclass(frozen=True, slots=True, kw_only=True)
class BoxFirst:
    """Splits raw output (..., K) of `box_channels`, then one of objectness if there is one, then C
    of classes. A decoder adds how the first of them code a box.
    """

    has_objectness: bool
    box_channels: int = 4

    @property
    def _first_class(self) -> int:
        return self.box_channels + int(self.has_objectness)

    def num_channels(self, num_classes: int) -> int:
        """Return K for so many classes."""
        return self._first_class + num_classes

    def split(self, raw: Tensor) -> RawParts:
        """Return box (..., D), objectness (...) or None and classes (..., C) of raw (..., K)."""
        return RawParts(
            box=raw[..., : self.box_channels],
            objectness=raw[..., self.box_channels] if self.has_objectness else None,
            classes=raw[..., self._first_class :],
        )


def needed(anchors: Tensor | None) -> Tensor:
    """Return anchors (..., 2) that a decoder cannot do without.

    Raises:
        ValueError: there are none.
    """
    if anchors is None:
        raise ValueError("this head codes boxes relative to anchors, and was given none")
    return anchors
