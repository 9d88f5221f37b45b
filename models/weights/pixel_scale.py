"""Weights that were trained on normalised pixels, made to take pixels in [0, 1]."""

from collections.abc import Mapping

import torch
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""RGB, of pixels in [0, 1]; what torchvision's classifiers subtract and divide by."""

RESNET_ENTRIES = frozenset({"conv1.weight", "bn1.running_mean", "layer1.0.conv1.weight"})
"""What the state of every ResNet of torchvision holds."""


def for_plain_pixels(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """Return a ResNet's state for pixels in [0, 1] instead of normalised ones; others as they are.

    The first convolution W of (x - mean) / std is W / std of x, less a constant per channel that
    goes into the mean of the normalisation behind it. Deviation: at the border, zeros stood for the
    mean colour and stand for black now.

    Args:
        tensors: entries of any shape by name, as a file contains them; conv1.weight (64, 3, 7, 7).
    """
    if not tensors.keys() >= RESNET_ENTRIES or tensors["conv1.weight"].shape[1:2] != (3,):
        return tensors
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    weight = tensors["conv1.weight"].float() / std
    constant = (weight * mean).sum((1, 2, 3))
    return {
        **tensors,
        "conv1.weight": weight,
        "bn1.running_mean": tensors["bn1.running_mean"].float() + constant,
    }
