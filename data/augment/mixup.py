"""Blend two samples into one that carries the labels of both."""

from dataclasses import replace
from typing import cast

import cv2
import numpy as np

from utils.structures.images import ImageArray, Sample

BETA = 32.0
"""Both parameters of the Beta distribution of the share: about 0.5 +- 0.06."""


def mixup(first: Sample, second: Sample, rng: np.random.Generator) -> Sample:
    """Return `first` blended with `second`, images of equal shape; boxes of both, those of `first`
    first. Source: Zhang et al., mixup (arXiv 1710.09412), without weighting labels by the share.
    """
    share = rng.beta(BETA, BETA)
    blend = cv2.addWeighted(first.image, share, second.image, 1 - share, 0)
    return replace(
        first,
        image=cast(ImageArray, blend),
        boxes=np.concatenate((first.boxes, second.boxes)),
        labels=np.concatenate((first.labels, second.labels)),
        ignore=np.concatenate((first.ignore, second.ignore)),
    )
