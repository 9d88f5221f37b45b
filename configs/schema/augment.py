"""Section `augment`: random changes of training images; validation images are never changed."""

from typing import Literal

from pydantic import Field, model_validator

from configs.schema.settings import SHARE, Settings, derivable


class AugmentSettings(Settings):
    """Strength of each augmentation; 0 switches one off."""

    mosaic: float = Field(default=1.0, ge=0, le=1)
    """Share of samples made of four (or nine) images, 0 to 1."""

    mosaic_nine: float = Field(default=0.0, ge=0, le=1)
    """Share of mosaics made of nine images instead of four, 0 to 1."""

    close_mosaic: int = Field(default=0, ge=0, json_schema_extra=derivable(SHARE))
    """Epochs at the end of training without mosaic and mixup, or their share of all: 15%."""

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

    transpose: float = Field(default=0.0, ge=0, le=1)
    """Probability that x and y are exchanged. At 0.5, with both flips at 0.5, all eight
    orientations are equally likely: for images without an upper side (microscope, satellite)."""

    hsv_hue: float = Field(default=0.015, ge=0, le=1)
    """Hue changes by a factor of 1 +- this share."""

    hsv_saturation: float = Field(default=0.7, ge=0, le=1)
    """Saturation changes by a factor of 1 +- this share."""

    hsv_value: float = Field(default=0.4, ge=0, le=1)
    """Brightness changes by a factor of 1 +- this share."""

    custom: tuple[str, ...] = ()
    """Pixel operations of your own after all others: dotted names of importable objects, such as
    my_package.my_op. A function of an image (H, W, 3) uint8 RGB, a torchvision transform, an
    Albumentations transform, or a class of any of these or of data.augment.operation.PixelOp. They
    may not move objects: boxes stay where they are."""

    device: Literal["auto", "cpu", "train"] = "auto"
    """Who draws the images: cpu the loader workers, train the training device whole batches at a
    time, auto the device where it is CUDA. Draws and boxes are the same, pixels differ by about a
    level."""

    @model_validator(mode="after")
    def _custom_names_differ(self) -> "AugmentSettings":
        twice = sorted({name for name in self.custom if self.custom.count(name) > 1})
        if twice:
            raise ValueError(f"custom holds {', '.join(twice)} more than once")
        return self

    def switched_off(self) -> "AugmentSettings":
        """Return settings that leave images as they are, rendered where these are."""
        strengths = dict.fromkeys(type(self).model_fields, 0)
        return type(self).model_validate({**strengths, "custom": (), "device": self.device})
