"""Sampling of images in an epoch, for imbalanced classes."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from configs.schema.train import (
    ClassBalancedSampler,
    CustomSampler,
    RepeatFactorSampler,
    Sampler,
)
from utils.runtime.errors import UserError
from utils.runtime.named_object import load_named_object, user_code_error
from utils.structures.images import Record

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

Draw = Callable[[int, np.random.Generator], list[tuple[int, int]]]
"""Maps a number of images and a generator to as many (index, copy) in the order of an epoch; copy
counts the appearances of an image in the epoch from 0."""


def draw_uniformly(num_images: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return every image once, in random order."""
    return [(index, 0) for index in rng.permutation(num_images).tolist()]


def draw_weighted(
    num_images: int, rng: np.random.Generator, *, weights: Floats
) -> list[tuple[int, int]]:
    """Return `num_images` draws in random order.

    Systematic sampling: an image whose share of the weights (num_images,) is worth e draws comes
    floor(e) or ceil(e) times, e on average.
    """
    ends = np.cumsum(weights / weights.sum() * num_images)
    ends[-1] = num_images  # rounding must not drop the last draw
    points = np.arange(num_images) + rng.random()
    chosen = np.searchsorted(ends, points, side="right").clip(max=num_images - 1)
    first = np.searchsorted(chosen, chosen, side="left")
    pairs = np.stack([chosen, np.arange(num_images) - first], axis=1)
    return [(index, copy) for index, copy in pairs[rng.permutation(num_images)].tolist()]


def build_draw(sampler: Sampler, records: Sequence[Record]) -> Draw:
    """Return how the images of an epoch are drawn from the records of the training split."""
    if isinstance(sampler, RepeatFactorSampler):
        return partial(draw_weighted, weights=repeat_factors(_presence(records), sampler.threshold))
    if isinstance(sampler, ClassBalancedSampler):
        return partial(draw_weighted, weights=balanced_weights(_presence(records)))
    if isinstance(sampler, CustomSampler):
        return partial(draw_weighted, weights=_custom_weights(sampler.object, records))
    return draw_uniformly


def _custom_weights(name: str, records: Sequence[Record]) -> Floats:
    """Return what a function of the user says of each image.

    Raises:
        UserError: it cannot be imported, fails, or returns no positive weight for each image.
    """
    key = "train.sampler.object"
    function = load_named_object(name, key)
    try:
        weights = np.asarray(function(records), np.float64)
    except Exception as error:  # whatever the user's program does
        raise user_code_error(key, name, "failed", error) from error
    if weights.shape != (len(records),) or not (np.isfinite(weights) & (weights > 0)).all():
        raise UserError(
            f"{key}: {name} must return a weight above 0 for each of {len(records)} images, got "
            f"values of shape {weights.shape}"
        )
    return weights


@dataclass(frozen=True, slots=True, kw_only=True)
class Presence:
    """Which classes each image shows, as pairs: a table of images times classes takes gigabytes.

    image, label (P,) int64, each pair once; num_images: with those that show nothing.
    """

    image: Integers
    label: Integers
    num_images: int

    @property
    def per_class(self) -> Integers:
        """(classes,) images that show each class."""
        return np.bincount(self.label)


def repeat_factors(presence: Presence, threshold: float) -> Floats:
    """Return the repeat factor of each image, (images,), at least 1.

    max over its classes of sqrt(threshold / f), f the share of images that show the class. Gupta et
    al. 2019 (arXiv:1908.03195), section 5.3. Ours: an epoch keeps its length, so common images come
    less often instead of rare ones making it longer.

    Args:
        presence: classes that the images show.
        threshold: share of images, 0 to 1, below which a class counts as rare.
    """
    share = presence.per_class / presence.num_images
    factors = np.sqrt(threshold / np.where(share > 0, share, 1.0)).clip(min=1.0)
    largest: Floats = np.ones(presence.num_images)
    np.maximum.at(largest, presence.image, factors[presence.label])
    return largest


def balanced_weights(presence: Presence) -> Floats:
    """Return weights (images,) by which every class is as likely as any other.

    A class that occurs is sampled, then an image with it: Shen et al. 2016 (arXiv:1512.05830),
    section 3.3. Ours: images without objects keep the share of draws that they have among images.
    """
    num_images, per_class = presence.num_images, presence.per_class
    is_empty = np.bincount(presence.image, minlength=num_images) == 0
    if is_empty.all():
        return np.ones(num_images)
    shares = 1.0 / per_class[presence.label]
    sums = np.bincount(presence.image, weights=shares, minlength=num_images)
    weights = np.asarray(sums, np.float64)
    weights /= np.count_nonzero(per_class)
    weights *= 1 - is_empty.mean()
    return np.where(is_empty, 1 / num_images, weights)


def _presence(records: Sequence[Record]) -> Presence:
    nothing = np.zeros(0, np.int64)
    shown = [np.unique(record.labels[~record.ignore]) for record in records]
    counts = [len(labels) for labels in shown]
    return Presence(
        image=np.repeat(np.arange(len(shown)), counts),
        label=np.concatenate([nothing, *shown]),
        num_images=len(shown),
    )
