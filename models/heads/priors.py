"""Priors of a detection head: what it is told of the data, and the biases that follow from it.

Legend: C classes, L levels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

PUBLISHED_OBJECTS = 8.0
"""Objects assumed in an image of `PUBLISHED_SIZE` pixels."""
PUBLISHED_SIZE = 640

LARGEST_PRIOR = 0.5
"""No cell starts as more probable than this, however many objects crowd a small image."""

CELL_OBJECTS = 5.0
"""Objects assumed in an image of any size by a head with one prediction per cell."""

CLASS_PRIOR = 0.01
"""Score that every class of every cell starts with in a head without objectness."""
SMALLEST_SHARE = 1e-6
"""Counted share of a class that is assigned to no cell, so that its bias stays finite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Priors:
    """What a head may start from; None where nothing was counted: then published values hold.

    class_frequency: number of objects per class, (C,). objects_per_image: mean number of objects in
    a training image, for all levels or one number per level. positive_share: share of cells that
    are assigned to an object of each class, (C,). image_size: side of the training image in pixels
    that `objects_per_image` was counted in. has_prior: false leaves the priors out, so that every
    score starts at about 0.5.
    """

    class_frequency: Sequence[float] | None = None
    objects_per_image: float | Sequence[float] | None = None
    positive_share: Sequence[float] | None = None
    image_size: int = PUBLISHED_SIZE
    has_prior: bool = True


def objectness_biases(priors: Priors, strides: Sequence[int]) -> list[float]:
    """Return ln(n / (size / stride)^2) for each level: the share of cells that contain an object.

    Raises:
        ValueError: a count is not positive, or there is not one per level.
    """
    objects, image_size = priors.objects_per_image, priors.image_size
    if objects is None:
        objects, image_size = PUBLISHED_OBJECTS, PUBLISHED_SIZE
    if isinstance(objects, int | float):
        objects = [objects] * len(strides)
    if len(objects) != len(strides) or min(objects) <= 0:
        raise ValueError(
            f"objects_per_image must be above 0, one for each of {len(strides)} levels, "
            f"got {objects}"
        )
    return [
        math.log(min(count / (image_size / stride) ** 2, LARGEST_PRIOR))
        for count, stride in zip(objects, strides, strict=True)
    ]


def frequency_biases(priors: Priors, num_classes: int) -> Tensor:
    """Return class biases (C,) beside objectness: ln(0.6 / (C - 0.99999)), or of counted shares.

    One is added to each count, so that a class without objects starts low, not at minus infinity.
    With a single class the published value stays: there is nothing to tell it from.

    Raises:
        ValueError: a count is negative, or there is not one per class.
    """
    counted = priors.class_frequency
    if counted is not None and (len(counted) != num_classes or min(counted) < 0):
        raise ValueError(
            f"class_frequency must be {num_classes} numbers from 0, got {list(counted)}"
        )
    if counted is None or num_classes == 1:
        return torch.full((num_classes,), math.log(0.6 / (num_classes - 0.99999)))
    counts = torch.tensor(counted, dtype=torch.float64) + 1
    return (counts / counts.sum()).logit()


def cell_biases(priors: Priors, num_classes: int, strides: Sequence[int]) -> list[Tensor]:
    """Return class biases (C,) of each level without objectness: ln(n / C / (size / stride)^2), 5
    objects an image; or of the objects of each class that were counted; 0 without priors.

    A class without objects counts as one of all counted objects, so that its bias stays finite.

    Raises:
        ValueError: a count is not positive, or there is not one per class.
    """
    if not priors.has_prior:
        return [torch.zeros(num_classes) for _ in strides]
    objects, shares = priors.objects_per_image, torch.full((num_classes,), 1 / num_classes)
    if priors.class_frequency is not None:
        if len(priors.class_frequency) != num_classes or min(priors.class_frequency) < 0:
            raise ValueError(
                f"class_frequency must be {num_classes} numbers from 0, "
                f"got {list(priors.class_frequency)}"
            )
        counts = torch.tensor(priors.class_frequency, dtype=torch.float64) + 1
        shares = counts / counts.sum()
    levels = [CELL_OBJECTS] * len(strides) if objects is None else objects
    levels = [levels] * len(strides) if isinstance(levels, int | float) else list(levels)
    if len(levels) != len(strides) or min(levels) <= 0:
        raise ValueError(
            f"objects_per_image must be above 0, one for each of {len(strides)} levels, "
            f"got {levels}"
        )
    return [
        (count * shares / (priors.image_size / stride) ** 2).clamp(max=LARGEST_PRIOR).log()
        for count, stride in zip(levels, strides, strict=True)
    ]


def share_biases(priors: Priors, num_classes: int) -> Tensor:
    """Return class biases (C,) without objectness: ln(p / (1 - p)), p 0.01 or the counted share; 0
    without priors.

    Source: Lin et al., arXiv 1708.02002, section 4.1.

    Raises:
        ValueError: a share is not from 0 to 1, or there is not one per class.
    """
    if not priors.has_prior:
        return torch.zeros(num_classes)
    counted = priors.positive_share
    shares = [CLASS_PRIOR] * num_classes if counted is None else list(counted)
    if len(shares) != num_classes or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"positive_share must be {num_classes} numbers from 0 to 1, got {shares}")
    return torch.tensor(shares, dtype=torch.float64).clamp(SMALLEST_SHARE, LARGEST_PRIOR).logit()
