"""Letterbox of pictures without labels, by the rule of validation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.images.letterbox import Letterbox, evaluation_letterbox
from data.loading.dataset import collate
from utils.structures.batch import Batch
from utils.structures.images import ImageArray, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Framing:
    """Size of a picture in the network frame.

    image_size: long side of the resized picture, a multiple of `stride`, pixels. stride: coarsest
    stride of the network. rectangular: pad to the picture's own shape; else to a square.
    """

    image_size: int
    stride: int
    rectangular: bool = True

    def letterbox(self, size: tuple[int, int]) -> Letterbox:
        """Return the letterbox of a picture of `size` = (height, width) pixels."""
        return evaluation_letterbox(
            size, image_size=self.image_size, stride=self.stride, rectangular=self.rectangular
        )

    def sample(self, image: ImageArray, path: str, image_id: int) -> Sample:
        """Return `image` (H, W, 3) uint8 RGB in its network frame, without boxes."""
        letterbox = self.letterbox((image.shape[0], image.shape[1]))
        return Sample(
            image=letterbox.apply(image),
            boxes=np.zeros((0, 4), np.float32),
            labels=np.zeros(0, np.int64),
            ignore=np.zeros(0, np.bool_),
            meta=letterbox.meta(path, image_id),
        )

    def batch(self, images: Sequence[ImageArray]) -> Batch:
        """Return pictures (H, W, 3) of one letterbox shape as a batch; ids are their positions."""
        return collate([self.sample(image, "", index) for index, image in enumerate(images)])
