"""Key `train.sampler`: which images an epoch shows."""

from typing import Annotated, Literal

from pydantic import Field

from configs.schema.settings import Settings


class UniformSampler(Settings):
    """Every image once an epoch."""

    name: Literal["uniform"] = "uniform"


class RepeatFactorSampler(Settings):
    """Images of rare classes oftener (Gupta et al. 2019); an epoch keeps its length."""

    name: Literal["repeat_factor"]

    threshold: float = Field(default=0.1, gt=0, le=1)
    """Share of images below which a class is rare: one on a share f comes sqrt(threshold / f) times
    as often."""


class ClassBalancedSampler(Settings):
    """Every class as likely as any other (Shen et al. 2016); images without objects keep their
    share.
    """

    name: Literal["class_balanced"]


Sampler = Annotated[
    UniformSampler | RepeatFactorSampler | ClassBalancedSampler, Field(discriminator="name")
]
