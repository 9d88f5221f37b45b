"""`train.batch_size: auto`: how many images fit into the memory of the device."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from commands.build.noise_steps import NoiseSteps
from configs.reading.derive import BATCH_KEY, with_batch_size
from configs.reading.load import LoadedExperiment
from data.loading.samplers import image_size_range
from data.records.load import Split
from utils.runtime.distributed.ranks import Ranks
from utils.runtime.errors import UserError
from utils.runtime.machine.memory import GIB, free_memory, is_out_of_memory

logger = logging.getLogger(__name__)

USABLE_SHARE = 0.8
"""Of the free memory; the rest is for what varies from batch to batch, and for other programs."""
MOST_IMAGES = 128
FEWEST_BATCHES = 8
"""In an epoch: larger batches would leave small data sets too few optimizer steps."""
MOST_WITHOUT_MEASURING = 16
BYTES_AT_640 = 0.5 * GIB
"""Generous estimate of what an image of 640 x 640 px takes in training on a CPU."""

Probe = Callable[[int], int]
"""From images in a batch to the bytes that a training step took at most; raises what torch does
where the memory is too small."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """A number of images, and why it is this one."""

    images: int
    reason: str


def choose_batch_size(
    loaded: LoadedExperiment, split: Split, device: torch.device, ranks: Ranks
) -> LoadedExperiment:
    """Return the experiment with a number in the place of `train.batch_size: auto`, and log it.

    Raises:
        UserError: several processes train together, or not even one image fits.
    """
    if BATCH_KEY not in loaded.words:
        return loaded
    if ranks.size > 1:
        raise UserError(
            f"{BATCH_KEY}=auto measures in one process; run once without torchrun to see the "
            f"number, then set it here: {BATCH_KEY}=N"
        )
    _, side = image_size_range(
        loaded.experiment.train.image_size, 32, loaded.experiment.train.multi_scale
    )
    largest = largest_useful(len(split.records))
    if device.type == "cuda":
        fit = measured_fit(
            _MemoryProbe(NoiseSteps(loaded, split, device, side), device),
            free_memory(device),
            largest,
        )
    else:
        fit = estimated_fit(side, free_memory(device), largest)
    logger.info("%s = %d: %s", BATCH_KEY, fit.images, fit.reason)
    return with_batch_size(loaded, fit.images, fit.reason)


def largest_useful(num_images: int) -> int:
    """Return the largest batch that leaves an epoch some batches."""
    return max(1, min(MOST_IMAGES, num_images // FEWEST_BATCHES))


def measured_fit(probe: Probe, free: int, largest: int) -> Fit:
    """Return how many images fit, by steps of 1, 2, 4, ... of them.

    Two steps tell what an image takes; the batch is what a straight line through them allows.

    Args:
        probe: runs a step.
        free: bytes that are free before.
        largest: more images are not wanted.

    Raises:
        UserError: one image is too much.
    """
    usable = USABLE_SHARE * free
    sizes: list[int] = []
    taken: list[int] = []
    number = 1
    while number <= largest:
        try:
            used = probe(number)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            largest = number - 1
            break
        sizes.append(number)
        taken.append(used)
        if _fitting(sizes, taken, usable) <= number:
            break
        number *= 2
    if not sizes:
        raise UserError(
            f"{BATCH_KEY}=auto: not even one image fits into {free / GIB:.1f} GiB; lower "
            "train.image_size or take a smaller model.graph"
        )
    fitting = max(1, _fitting(sizes, taken, usable))
    images = _even(min(fitting, largest))
    why = f"room for {fitting}" if fitting <= largest else f"room for more than {largest}"
    return Fit(
        images=images,
        reason=f"measured up to {sizes[-1]} images, {why} in {USABLE_SHARE:.0%} of "
        f"{free / GIB:.1f} GiB that are free",
    )


def estimated_fit(side: int, free: int, largest: int) -> Fit:
    """Return how many images of `side` pixels to take where memory is not measured."""
    each = BYTES_AT_640 * (side / 640) ** 2
    fitting = max(1, math.floor(USABLE_SHARE * free / each))
    images = _even(min(fitting, largest, MOST_WITHOUT_MEASURING))
    return Fit(
        images=images,
        reason=f"{free / GIB:.1f} GiB are free, about {each / GIB:.2g} GiB an image; at most "
        f"{min(largest, MOST_WITHOUT_MEASURING)}",
    )


def _fitting(sizes: list[int], taken: list[int], usable: float) -> int:
    """Return how many images `usable` bytes hold by the last two measurements."""
    if len(sizes) == 1:
        return math.floor(sizes[0] * usable / max(taken[0], 1))
    each = (taken[-1] - taken[-2]) / (sizes[-1] - sizes[-2])
    return sizes[-1] + math.floor((usable - taken[-1]) / max(each, 1.0))


def _even(images: int) -> int:
    """Return the multiple of 8 below, which GPUs compute best, or the power of two below 8."""
    return images - images % 8 if images >= 8 else 1 << (images.bit_length() - 1)


class _MemoryProbe:
    """Tells what training steps on images of noise take on a CUDA device."""

    def __init__(self, steps: NoiseSteps, device: torch.device) -> None:
        self._steps, self._device = steps, device

    def __call__(self, images: int) -> int:
        """Return the most bytes that the steps had reserved.

        Raises:
            torch.OutOfMemoryError: they did not fit.
        """
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(self._device)
        before = torch.cuda.memory_reserved(self._device)
        self._steps.seconds(images)
        return torch.cuda.max_memory_reserved(self._device) - before
