"""Protocol of pixel operations: random changes of a composed image, in a worker or on the device.

The operations are listed, in their order, in `pixel_ops.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from configs.schema.augment import AugmentSettings
from utils.runtime.errors import UserError
from utils.structures.images import FloatArray, ImageArray

Parameters = tuple[float, ...]
"""Sampled parameters of one image; may be empty."""
PixelsT = TypeVar("PixelsT", ImageArray, Tensor)


class PixelOp(ABC):
    """One operation: `sample` its parameters, then `apply_numpy` (worker) or `apply_torch`.

    It must be stateless: its result follows from the parameters alone.
    """

    name: str
    """Name of its random stream; another name gives other numbers."""

    @abstractmethod
    def sample(self, rng: np.random.Generator, settings: AugmentSettings) -> Parameters | None:
        """Return the parameters for one image, None where it is to stay as it is.

        `rng` is this operation's own for this sample: it may draw any number of values.
        """

    @abstractmethod
    def apply_numpy(self, image: ImageArray, parameters: Parameters) -> ImageArray:
        """Return `image` (S, S, 3) uint8 RGB changed; it may be written to."""

    def apply_torch(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return `images` (B, S, S, 3) uint8 RGB changed; they may be written to.

        `parameters` (B, P) float32 are those of each image, on the same device. Without this method
        images are rendered by the workers.
        """
        raise NotImplementedError(f"{self.name} cannot be rendered by the device")

    def move_boxes(self, boxes: FloatArray, image_size: int, parameters: Parameters) -> FloatArray:
        """Return boxes (N, 4) xyxy pixels after the operation; here unchanged."""
        return boxes

    @property
    def runs_on_device(self) -> bool:
        """Whether there is an `apply_torch`."""
        return type(self).apply_torch is not PixelOp.apply_torch


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledOp:
    """An operation and its parameters for one image; None where it does not change it."""

    op: PixelOp
    parameters: Parameters | None

    def apply(self, image: ImageArray) -> ImageArray:
        """Return `image` (S, S, 3) uint8 RGB changed; it may be written to."""
        if self.parameters is None:
            return image
        return _require_like(image, self.op.apply_numpy(image, self.parameters), self.op)

    def move_boxes(self, boxes: FloatArray, image_size: int) -> FloatArray:
        """Return boxes (N, 4) after the operation."""
        if self.parameters is None:
            return boxes
        return self.op.move_boxes(boxes, image_size, self.parameters)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOp:
    """An operation and its parameters for the images of a batch that it changes, C of them."""

    op: PixelOp
    rows: Tensor | None
    """(C,) int64 positions of these images; None where it changes all."""
    parameters: Tensor
    """(C, P) float32."""

    def apply(self, images: Tensor, part: slice) -> None:
        """Change `images` (B, S, S, 3) uint8 in place: the ones at `part` of C."""
        parameters = self.parameters[part]
        if self.rows is None:
            given = images[part]
            images[part] = _require_like(given, self.op.apply_torch(given, parameters), self.op)
            return
        rows = self.rows[part]
        given = images.index_select(0, rows)
        changed = _require_like(given, self.op.apply_torch(given, parameters), self.op)
        images.index_copy_(0, rows, changed)

    def each(self, change: Callable[[Tensor], Tensor]) -> "BatchOp":
        """Return the operation with `change` made to each of its tensors."""
        rows = None if self.rows is None else change(self.rows)
        return BatchOp(op=self.op, rows=rows, parameters=change(self.parameters))

    def __len__(self) -> int:
        return len(self.parameters)


def _require_like(given: PixelsT, changed: PixelsT, op: PixelOp) -> PixelsT:
    """Return `changed`; raises UserError unless it has shape and type of `given`."""
    shape, dtype = getattr(changed, "shape", None), getattr(changed, "dtype", None)
    if shape != given.shape or dtype != given.dtype:
        found = type(changed).__name__ if shape is None else f"{dtype} {tuple(shape)}"
        raise UserError(
            f"{op.name} must return the image in the shape and type it was given, {given.dtype} "
            f"{tuple(given.shape)}, but returned {found}"
        )
    return changed


def batch_ops(samples: Sequence[tuple[SampledOp, ...]]) -> tuple[BatchOp, ...]:
    """Return the operations of a batch from those of its samples, B times the same ones."""
    found = []
    for column in zip(*samples, strict=True):
        rows = [row for row, each in enumerate(column) if each.parameters is not None]
        if rows:
            parameters = [column[row].parameters for row in rows]
            found.append(
                BatchOp(
                    op=column[0].op,
                    rows=None if len(rows) == len(column) else torch.tensor(rows),
                    parameters=torch.tensor(parameters, dtype=torch.float32),
                )
            )
    return tuple(found)
