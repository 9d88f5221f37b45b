"""Letterbox: resize and pad an image into the network frame; the inverse is `ImageMeta`.

The shape an image is padded to depends on that image alone, so neither batch size nor neighbours
change a result. Sizes and shapes are (height, width) in pixels.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from utils.structures.images import ImageArray, ImageMeta

PAD_COLOUR = 114
"""Grey of everything that is not image; the value released weights were trained with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Letterbox:
    """Placement of an image in its network frame: its size `resized`, at `pad` = (top, left)."""

    original: tuple[int, int]
    resized: tuple[int, int]
    pad: tuple[int, int]
    shape: tuple[int, int]

    @property
    def scale(self) -> tuple[float, float]:
        """(vertical, horizontal): network pixels per original pixel."""
        return self.resized[0] / self.original[0], self.resized[1] / self.original[1]

    def meta(self, path: str, image_id: int) -> ImageMeta:
        """Return the mapping back to the original image."""
        return ImageMeta(
            path=path,
            image_id=image_id,
            original_size=self.original,
            scale=self.scale,
            pad=self.pad,
        )

    def apply(self, image: ImageArray) -> ImageArray:
        """Return `image` (H, W, 3) resized and padded to `shape`, contiguous.

        Shrinking averages (INTER_AREA), so that nothing is aliased away; enlarging interpolates.
        An image that was resized to `resized` in this way before is only padded.
        """
        height, width = self.resized
        top, left = self.pad
        framed = np.full((*self.shape, 3), PAD_COLOUR, np.uint8)
        inside = framed[top : top + height, left : left + width]
        if image.shape[:2] == self.resized:
            inside[:] = image
        else:
            enlarging = max(self.resized) > max(self.original)
            interpolation = cv2.INTER_LINEAR if enlarging else cv2.INTER_AREA
            cv2.resize(image, (width, height), dst=inside, interpolation=interpolation)
        return framed


def fit_size(size: tuple[int, int], image_size: int) -> tuple[int, int]:
    """Return `size` scaled so that its long side is `image_size`, cut to whole pixels, at least 1.

    Cut rather than rounded, in this order of operations, because that is how the images of
    released YOLOv5 weights were resized (docs/recipe_sources.md#images).
    """
    ratio = image_size / max(size)
    return max(1, int(size[0] * ratio)), max(1, int(size[1] * ratio))


def fit_sizes(
    sizes: npt.NDArray[np.float64], image_sizes: npt.NDArray[np.float64] | float
) -> npt.NDArray[np.float64]:
    """Return what `fit_size` returns for each of `sizes` (M, 2); `image_sizes` (M,) or one."""
    ratios = image_sizes / sizes.max(axis=1)
    fitted: npt.NDArray[np.float64] = np.maximum(1.0, np.floor(sizes * ratios[:, None]))
    return fitted


def snug_shape(size: tuple[int, int], image_size: int, stride: int) -> tuple[int, int]:
    """Return the smallest multiple of `stride` that contains the image scaled to `image_size`."""
    height, width = fit_size(size, image_size)
    return -(-height // stride) * stride, -(-width // stride) * stride


def rectangular_shape(size: tuple[int, int], image_size: int, stride: int) -> tuple[int, int]:
    """Return the validation shape of an image: YOLOv5's rule for batches, applied to one image.

    Each side is ceil(scaled side / stride + 0.5) strides, so there is always half a stride of
    padding or more; computed in integers, because the ceiling of a rounded float is not exact.
    """
    long_side = max(size)
    height, width = (
        -(-(2 * side * image_size + long_side * stride) // (2 * long_side * stride)) * stride
        for side in size
    )
    return height, width


def evaluation_letterbox(
    size: tuple[int, int], *, image_size: int, stride: int, rectangular: bool
) -> Letterbox:
    """Return the letterbox of validation and prediction, one rule for both.

    Args:
        size: of the original image.
        image_size: long side of the resized image, a multiple of `stride`.
        stride: coarsest stride of the network.
        rectangular: pad to the image's own shape; else to a square.
    """
    square = (image_size, image_size)
    shape = rectangular_shape(size, image_size, stride) if rectangular else square
    return fit_into(size, image_size, shape)


def fit_into(size: tuple[int, int], image_size: int, shape: tuple[int, int]) -> Letterbox:
    """Return the letterbox that scales the long side to `image_size` and centres it in `shape`.

    An odd pixel of padding goes to the bottom and to the right.

    Raises:
        ValueError: the scaled image is larger than `shape`.
    """
    resized = fit_size(size, image_size)
    if resized[0] > shape[0] or resized[1] > shape[1]:
        raise ValueError(f"an image resized to {resized} does not fit into {shape}")
    pad = (shape[0] - resized[0]) // 2, (shape[1] - resized[1]) // 2
    return Letterbox(original=size, resized=resized, pad=pad, shape=shape)
