"""Key `train.sampler`: which images an epoch shows."""

from typing import Annotated, Literal

from pydantic import Field

from configs.schema.settings import Settings


class UniformSampler(Settings):
    """Show every image once per epoch."""

    name: Literal["uniform"] = "uniform"


class RepeatFactorSampler(Settings):
    """Oversample images with rare classes (Gupta et al. 2019); epoch length is unchanged."""

    name: Literal["repeat_factor"]

    threshold: float = Field(default=0.1, gt=0, le=1)
    """Share of images below which a class is rare: images of a class on a share f are shown
    sqrt(threshold / f) times as often."""


class ClassBalancedSampler(Settings):
    """Show every class equally often (Shen et al. 2016); images without objects keep their
    share.
    """

    name: Literal["class_balanced"]


Sampler = Annotated[
    UniformSampler | RepeatFactorSampler | ClassBalancedSampler, Field(discriminator="name")
]
