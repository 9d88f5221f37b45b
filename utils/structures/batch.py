"""Input of the network: `Batch`, and `Targets` of all its images in one flat table."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from utils.structures.boxes import check_boxes
from utils.structures.images import ImageMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class Targets:
    """Ground truth of a batch in the network frame; ignored objects are already left out.

    boxes (T, 4) float32 xyxy pixels; labels (T,) int64 class indices; image_index (T,) int64
    position of the image in the batch. T may be 0.
    """

    boxes: Tensor
    labels: Tensor
    image_index: Tensor

    def __post_init__(self) -> None:
        check_boxes(self.boxes, "Targets.boxes")
        for name in ("labels", "image_index"):
            column = getattr(self, name)
            if column.shape != (len(self.boxes),) or column.dtype != torch.int64:
                raise ValueError(
                    f"Targets.{name} must be int64 ({len(self.boxes)},), "
                    f"got {column.dtype} {tuple(column.shape)}"
                )

    def __len__(self) -> int:
        return len(self.boxes)

    def to(self, device: torch.device) -> "Targets":
        """Return the targets on `device` (asynchronous where the memory is pinned)."""
        return Targets(
            boxes=self.boxes.to(device, non_blocking=True),
            labels=self.labels.to(device, non_blocking=True),
            image_index=self.image_index.to(device, non_blocking=True),
        )

    def pin_memory(self) -> "Targets":
        """Return a page-locked copy."""
        return Targets(
            boxes=self.boxes.pin_memory(),
            labels=self.labels.pin_memory(),
            image_index=self.image_index.pin_memory(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Images of one size with their targets.

    images (B, 3, H, W) uint8 RGB in channels-last memory; `pixels` scales them to [0, 1] on the
    device, because a float batch is four times the transfer.
    """

    images: Tensor
    targets: Targets
    metas: tuple[ImageMeta, ...]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[1] != 3 or self.images.dtype != torch.uint8:
            raise ValueError(
                f"Batch.images must be uint8 (B, 3, H, W), "
                f"got {self.images.dtype} {tuple(self.images.shape)}"
            )
        if len(self.metas) != len(self.images):
            raise ValueError(f"{len(self.images)} images but {len(self.metas)} metas")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.images.shape[2], self.images.shape[3]

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on `device` (asynchronous where the memory is pinned)."""
        images = self.images.to(device, non_blocking=True)
        return replace(self, images=images, targets=self.targets.to(device))

    def pin_memory(self) -> "Batch":
        """Return a page-locked copy; called by torch's DataLoader."""
        return replace(self, images=self.images.pin_memory(), targets=self.targets.pin_memory())

    def split(self, parts: int) -> list["Batch"]:
        """Return `parts` batches of about equal size, fewer where there are fewer images."""
        if parts == 1:
            return [self]
        found = []
        for places in torch.arange(len(self)).tensor_split(min(parts, len(self))):
            first, last = int(places[0]), int(places[-1])
            index = self.targets.image_index
            chosen = (index >= first) & (index <= last)
            targets = Targets(
                boxes=self.targets.boxes[chosen],
                labels=self.targets.labels[chosen],
                image_index=index[chosen] - first,
            )
            images, metas = self.images[first : last + 1], self.metas[first : last + 1]
            found.append(Batch(images=images, targets=targets, metas=metas))
        return found

    def pixels(self) -> Tensor:
        """Return the images as float32 (B, 3, H, W) in [0, 1]."""
        return self.images.float().div_(255)
