"""Start values of a detector's weights, all in one place."""

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from models.detector import Detector
from models.heads import Detect, Retina

PUBLISHED_OBJECTS = 8.0
"""Objects assumed in an image of `PUBLISHED_SIZE` pixels."""
PUBLISHED_SIZE = 640

LARGEST_PRIOR = 0.5
"""No cell starts as more probable than this, however many objects crowd a small image."""

RETINA_PRIOR = 0.01
"""Score that every class of every cell starts with in a head without objectness."""
RETINA_STD = 0.01
"""Standard deviation of that head's weights."""
SMALLEST_SHARE = 1e-6
"""Counted share of a class that no cell answers for, so that its bias stays finite."""


@torch.no_grad()
def init_weights(
    detector: Detector,
    *,
    class_frequency: Sequence[float] | None = None,
    objects_per_image: float | Sequence[float] | None = None,
    positive_share: Sequence[float] | None = None,
    image_size: int = PUBLISHED_SIZE,
    has_prior: bool = True,
) -> None:
    """Set the head's weights; every other weight stays as torch drew it.

    convolutions, linear layers: torch's default | batch norm: weight 1, bias 0, eps 1e-3, momentum
    0.03 (`blocks.conv.batch_norm`), in `ResNet` rows torch's 1e-5 and 0.1 | head with objectness:
    drawn anew by torch's default, then added to the biases, s the stride of the level: objectness
    ln(n / (size / s)^2), the share of cells that hold one of n objects | its classes, published:
    ln(0.6 / (C - 0.99999)) | its classes, counted: ln(p / (1 - p)) with p the share of the class |
    head without objectness: weights normal (0, 0.01), biases 0, class biases ln(p / (1 - p)) with p
    0.01 or counted | without priors: objectness and class biases of either head are 0.

    Because the head is drawn anew, calling twice does not add twice; the generator is torch's
    default one, so `torch.manual_seed` decides.

    Args:
        detector: changed in place.
        class_frequency: number of objects per class, (C,); None for the published value. One is
            added to each, so that a class without objects starts low, not at minus infinity. With
            a single class the published value stays: there is nothing to tell it from.
        objects_per_image: mean number n of objects in a training image, for all levels or one
            number per level; None for the published 8 in 640 pixels.
        positive_share: share of cells that answer for an object of each class, (C,), for a head
            without objectness; None for 0.01.
        image_size: side of the training image in pixels that `objects_per_image` was counted in.
        has_prior: false leaves the priors out, so that every score starts at about 0.5.

    Raises:
        ValueError: a count is not positive, or there is not one per class or level.

    Source: SPEC 2B.5; Lin et al., arXiv 1708.02002, section 4.1; counting instead of assuming: Chen
    et al., arXiv 1909.04868.
    """
    if isinstance(detector.head, Retina):
        _draw_retina(detector.head, _retina_biases(detector.num_classes, positive_share, has_prior))
        return
    objectness = _objectness_biases(detector.strides, objects_per_image, image_size)
    classes = _class_biases(detector.num_classes, class_frequency)
    head = cast(Detect, detector.head)
    for convolution, level_bias in zip(head.convolutions(), objectness, strict=True):
        convolution.reset_parameters()
        bias = cast(Tensor, convolution.bias).view(head.num_anchors, 5 + head.num_classes)
        if not has_prior:
            bias[:, 4:] = 0
            continue
        bias[:, 4] += level_bias
        bias[:, 5:] += classes.to(bias)


def _draw_retina(head: Retina, class_biases: Tensor) -> None:
    """Draw a head without objectness anew; class_biases (C,)."""
    for convolution in head.convolutions():
        nn.init.normal_(convolution.weight, std=RETINA_STD)
        if convolution.bias is not None:
            nn.init.zeros_(convolution.bias)
    bias = cast(Tensor, head.class_output.bias).view(head.num_anchors, head.num_classes)
    bias.copy_(class_biases)


def _retina_biases(
    num_classes: int, positive_share: Sequence[float] | None, has_prior: bool
) -> Tensor:
    if not has_prior:
        return torch.zeros(num_classes)
    shares = [RETINA_PRIOR] * num_classes if positive_share is None else list(positive_share)
    if len(shares) != num_classes or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"positive_share must be {num_classes} numbers from 0 to 1, got {shares}")
    return torch.tensor(shares, dtype=torch.float64).clamp(SMALLEST_SHARE, LARGEST_PRIOR).logit()


def _objectness_biases(
    strides: Sequence[int], objects_per_image: float | Sequence[float] | None, image_size: int
) -> list[float]:
    if objects_per_image is None:
        objects_per_image, image_size = PUBLISHED_OBJECTS, PUBLISHED_SIZE
    if isinstance(objects_per_image, int | float):
        objects_per_image = [objects_per_image] * len(strides)
    if len(objects_per_image) != len(strides) or min(objects_per_image) <= 0:
        raise ValueError(
            f"objects_per_image must be above 0, one for each of {len(strides)} levels, "
            f"got {objects_per_image}"
        )
    return [
        math.log(min(count / (image_size / stride) ** 2, LARGEST_PRIOR))
        for count, stride in zip(objects_per_image, strides, strict=True)
    ]


def _class_biases(num_classes: int, class_frequency: Sequence[float] | None) -> Tensor:
    if class_frequency is not None and (
        len(class_frequency) != num_classes or min(class_frequency) < 0
    ):
        raise ValueError(
            f"class_frequency must be {num_classes} numbers from 0, got {list(class_frequency)}"
        )
    if class_frequency is None or num_classes == 1:
        return torch.full((num_classes,), math.log(0.6 / (num_classes - 0.99999)))
    counts = torch.tensor(class_frequency, dtype=torch.float64) + 1
    return (counts / counts.sum()).logit()
