"""Whether a training is long enough for its compiled code, by what is known before it begins.

A resumed training has to decide as the first start did, so nothing is timed here. The figures are
those of `benchmarks/step.py --compile --graphs yolov5n`: float32, one thread. What is saved grows
with the pixels of a batch, by this rule from 320 px and 16 images down to an eighth of that.
"""

import math

import torch

from configs.schema.train import TrainSettings
from utils.runtime.errors import UserError

CPU_COMPILE_S = 100.0
"""The first step, with nothing in torch's cache: two cores compiled."""
CPU_SAVED_S = 0.07
"""Saved per million pixels of a batch, of the 0.52 s that they take."""


def require_earned(settings: TrainSettings, device: torch.device, batches_per_epoch: int) -> None:
    """Refuse to compile for a training that would be done earlier without.

    On a GPU nothing is refused: it was not measured there.

    Args:
        settings: of the training.
        device: that computes.
        batches_per_epoch: of `batch_size` images; smaller ones are not compiled.

    Raises:
        UserError: too few batches.
    """
    batches, needed = settings.epochs * batches_per_epoch, batches_to_earn(settings)
    if device.type != "cpu" or batches >= needed:
        return
    saved = CPU_COMPILE_S / needed
    raise UserError(
        f"train.compile={settings.compile}: to compile takes about {CPU_COMPILE_S:.0f} s on a CPU "
        f"and saves about {saved:.2g} s a batch, so it pays from {needed} whole batches on; this "
        f"training has {batches}, {settings.epochs} epochs of {batches_per_epoch}; state "
        "train.compile=off"
    )


def batches_to_earn(settings: TrainSettings) -> int:
    """Return how many batches save on a CPU what compiling takes."""
    megapixels = settings.batch_size * settings.image_size**2 / 1e6
    return math.ceil(CPU_COMPILE_S / (CPU_SAVED_S * megapixels))
