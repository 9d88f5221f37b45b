"""Horizontal and vertical flips and transposition of images and boxes."""

from typing import cast

import cv2
import numpy as np
from torch import Tensor

from configs.schema.augment import AugmentSettings
from data.augment.operation import Parameters, PixelOp
from utils.structures.images import FloatArray, ImageArray


class FlipHorizontal(PixelOp):
    """Horizontal flip with the probability `flip_horizontal`."""

    name = "flip_horizontal"

    def sample(self, rng: np.random.Generator, settings: AugmentSettings) -> Parameters | None:
        """Return no parameters for an image that is mirrored."""
        return () if rng.random() < settings.flip_horizontal else None

    def apply_numpy(self, image: ImageArray, parameters: Parameters) -> ImageArray:
        """Return the image (H, W, 3), mirrored in place."""
        # A reversed numpy view made contiguous takes almost 50 times as long.
        return cast(ImageArray, cv2.flip(image, 1, dst=image))

    def apply_torch(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return images (B, S, S, 3) mirrored."""
        return images.flip(2)

    def move_boxes(self, boxes: FloatArray, image_size: int, parameters: Parameters) -> FloatArray:
        """Return boxes (N, 4) in the mirrored square image of `image_size` pixels."""
        return mirror_boxes(boxes, image_size, axis=0)


class FlipVertical(PixelOp):
    """Vertical flip with the probability `flip_vertical`."""

    name = "flip_vertical"

    def sample(self, rng: np.random.Generator, settings: AugmentSettings) -> Parameters | None:
        """Return no parameters for an image that is mirrored."""
        return () if rng.random() < settings.flip_vertical else None

    def apply_numpy(self, image: ImageArray, parameters: Parameters) -> ImageArray:
        """Return the image (H, W, 3), mirrored in place."""
        return cast(ImageArray, cv2.flip(image, 0, dst=image))

    def apply_torch(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return images (B, S, S, 3) mirrored."""
        return images.flip(1)

    def move_boxes(self, boxes: FloatArray, image_size: int, parameters: Parameters) -> FloatArray:
        """Return boxes (N, 4) in the mirrored square image of `image_size` pixels."""
        return mirror_boxes(boxes, image_size, axis=1)


class Transpose(PixelOp):
    """Rows become columns, with the probability `transpose`.

    With both flips, all eight orientations of a square are reached.
    """

    name = "transpose"

    def sample(self, rng: np.random.Generator, settings: AugmentSettings) -> Parameters | None:
        """Return no parameters for an image that is transposed."""
        return () if rng.random() < settings.transpose else None

    def apply_numpy(self, image: ImageArray, parameters: Parameters) -> ImageArray:
        """Return the square image (S, S, 3) with x and y exchanged."""
        return cast(ImageArray, cv2.transpose(image))

    def apply_torch(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Return images (B, S, S, 3) with x and y exchanged."""
        return images.transpose(1, 2).contiguous()

    def move_boxes(self, boxes: FloatArray, image_size: int, parameters: Parameters) -> FloatArray:
        """Return boxes (N, 4) with x and y exchanged."""
        return boxes[:, [1, 0, 3, 2]]


def mirror_boxes(boxes: FloatArray, image_size: int, *, axis: int) -> FloatArray:
    """Return boxes (N, 4) mirrored along x (axis 0) or y (1) of a square of `image_size` pixels."""
    mirrored = boxes.copy()
    mirrored[:, [axis, axis + 2]] = image_size - boxes[:, [axis + 2, axis]]
    return mirrored
