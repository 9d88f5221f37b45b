"""Section `augment`: random changes of training images; validation images are never changed."""

from typing import Literal

from pydantic import Field

from configs.schema.settings import Settings


class AugmentSettings(Settings):
    """Strength of each augmentation; 0 switches one off."""

    mosaic: float = Field(default=1.0, ge=0, le=1)
    """Share of samples made of four (or nine) images, 0 to 1."""

    mosaic_nine: float = Field(default=0.0, ge=0, le=1)
    """Share of mosaics made of nine images instead of four, 0 to 1."""

    close_mosaic: int = Field(default=0, ge=0)
    """Epochs at the end of training without mosaic and mixup."""

    mixup: float = Field(default=0.0, ge=0, le=1)
    """Share of mosaics blended with a second mosaic, 0 to 1."""

    degrees: float = Field(default=0.0, ge=0, le=180)
    """Rotation by up to +- this many degrees."""

    translate: float = Field(default=0.1, ge=0, le=1)
    """Shift by up to +- this share of the image size."""

    scale: float = Field(default=0.5, ge=0, lt=1)
    """Zoom between 1 - scale and 1 + scale."""

    shear: float = Field(default=0.0, ge=0, lt=90)
    """Shear by up to +- this many degrees, each axis."""

    perspective: float = Field(default=0.0, ge=0, le=0.001)
    """Perspective up to +- this coefficient per pixel; 0.001 is strong."""

    flip_horizontal: float = Field(default=0.5, ge=0, le=1)
    """Probability of a left-right flip."""

    flip_vertical: float = Field(default=0.0, ge=0, le=1)
    """Probability of an upside-down flip."""

    hsv_hue: float = Field(default=0.015, ge=0, le=1)
    """Hue changes by a factor of 1 +- this share."""

    hsv_saturation: float = Field(default=0.7, ge=0, le=1)
    """Saturation changes by a factor of 1 +- this share."""

    hsv_value: float = Field(default=0.4, ge=0, le=1)
    """Brightness changes by a factor of 1 +- this share."""

    device: Literal["auto", "cpu", "train"] = "auto"
    """Who draws the images: cpu the loader workers, train the training device whole batches at a
    time, auto the device where it is CUDA. Draws and boxes are the same, pixels differ by about a
    level."""
