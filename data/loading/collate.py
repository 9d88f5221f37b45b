"""From samples to a batch."""

from collections.abc import Sequence

import numpy as np
import torch

from data.augment.plan import SamplePlan
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageArray, Sample


def collate(samples: Sequence[Sample]) -> Batch:
    """Return one batch of `samples`, whose images (H, W, 3) have one shape.

    Images are stacked as they are in memory, (B, H, W, 3), and only viewed as (B, 3, H, W):
    channels-last memory, no transposed copy, and none at all of the rows of one array, in their
    order. Ignored boxes are left out of the targets.
    """
    images = torch.from_numpy(_stacked([sample.image for sample in samples]))
    return Batch(
        images=images.permute(0, 3, 1, 2),
        targets=join_targets(samples),
        metas=tuple(sample.meta for sample in samples),
    )


def _stacked(images: Sequence[ImageArray]) -> ImageArray:
    whole = images[0].base
    if isinstance(whole, np.ndarray) and whole.shape == (len(images), *images[0].shape):
        rows = [image.__array_interface__ for image in images]
        own = [row.__array_interface__ for row in whole]
        if rows == own:
            return whole
    return np.stack(images)


def join_targets(samples: Sequence[Sample | SamplePlan]) -> Targets:
    """Return the objects of `samples` in one table; ignored ones are left out."""
    kept = [~sample.ignore for sample in samples]
    counts = np.array([int(mask.sum()) for mask in kept])
    boxes = [sample.boxes[mask] for sample, mask in zip(samples, kept, strict=True)]
    labels = [sample.labels[mask] for sample, mask in zip(samples, kept, strict=True)]
    return Targets(
        boxes=torch.from_numpy(np.concatenate(boxes)),
        labels=torch.from_numpy(np.concatenate(labels)),
        image_index=torch.from_numpy(np.repeat(np.arange(len(samples)), counts)),
    )
