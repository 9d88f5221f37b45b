"""Base of all detection heads: what the rest of the code asks of a head, without knowing its name.

Legend: B images, A predictions per cell, C classes, L levels, H W cells of a level, K channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.heads.priors import Priors
from utils.structures.decoder import Decoder, RawParts

LevelAnchors = tuple[tuple[float, float], ...]
"""(width, height) in input pixels of each anchor of a level."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassRows:
    """Where a parameter of a head has rows per class: `groups` times `others` rows, then C."""

    groups: int
    others: int = 0


class DetectionHead(nn.Module, ABC):
    """The last row of a graph: one feature map per level to one raw output (B, A, H, W, K) each.

    A head is a file here, a line in `HEADS` and a line in `configs.heads.HEAD_TRAITS`. Its
    constructor takes the channels of each level, then the arguments that a graph's row may give
    after [nc, anchors], or [nc] without anchors; by keyword `num_classes` and, with anchors,
    `num_anchors`.

    decoder: how its raw output is read. optional_arguments: how many arguments a graph's row may
    give. takes_partial_cells: images whose last row and column of coarse cells reach over the
    border are allowed. num_anchors: A, 1 without anchors.
    """

    decoder: Decoder
    optional_arguments: ClassVar[int] = 0
    takes_partial_cells: ClassVar[bool] = False

    anchors: Tensor | None
    """(L, A, 2) width and height in cells of the level (pixels / stride); None without anchors."""

    def __init__(self, *, num_classes: int, num_anchors: int = 1) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.num_anchors = num_anchors
        self.register_buffer("anchors", None)

    @property
    def has_objectness(self) -> bool:
        """Whether a prediction has an objectness beside its classes."""
        return self.decoder.has_objectness

    @classmethod
    def default_anchors(
        cls, strides: Sequence[int], num_anchors: int
    ) -> tuple[LevelAnchors, ...] | None:
        """Return the anchors of a graph that only counts them, None for a head without anchors.

        Args:
            strides: input pixels per cell of each level, L of them.
            num_anchors: A.

        Raises:
            ValueError: the number does not suit the head.
        """
        return None

    @abstractmethod
    def init_weights(self, priors: Priors, strides: Sequence[int]) -> None:
        """Initialise the weights and the biases of objectness and classes, in place.

        Calling twice does not add twice; the generator is torch's default one.

        Args:
            priors: what is known of the data.
            strides: input pixels per cell of each level, L of them.

        Raises:
            ValueError: a count is not positive, or there is not one per class or level.
        """

    @abstractmethod
    def class_rows(self) -> Mapping[str, ClassRows]:
        """Return which entries of the state dict have rows per class, by name within the head.

        Weights of other classes give these the rows of the classes that both know; other entries
        are taken whole or not at all.
        """

    def split_anchors(self, raw: Tensor) -> Tensor:
        """Return the view (B, A, H, W, K) of a convolution's output (B, A K, H, W)."""
        if raw.requires_grad and raw.is_contiguous(memory_format=torch.channels_last):
            # The same view, taken in the order of memory: so its gradient keeps that order, which
            # else costs two copies of it.
            cells: Tensor = raw.permute(0, 2, 3, 1).unflatten(-1, (self.num_anchors, -1))
            return cells.permute(0, 3, 1, 2, 4)
        batch, channels, height, width = raw.shape
        per_anchor = raw.view(batch, self.num_anchors, channels // self.num_anchors, height, width)
        return per_anchor.permute(0, 1, 3, 4, 2)


class AnchorHead(DetectionHead):
    """A head whose boxes are coded relative to anchors.

    The buffer `anchors` (L, A, 2) contains width and height in cells of the level (pixels /
    stride), as published weights do.
    """

    anchors: Tensor

    def __init__(self, num_levels: int, *, num_classes: int, num_anchors: int) -> None:
        super().__init__(num_classes=num_classes, num_anchors=num_anchors)
        self.register_buffer("anchors", torch.ones(num_levels, num_anchors, 2))


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
