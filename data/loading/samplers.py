"""Batch samplers: lists of keys, random by (seed, epoch), made in the main process."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from torch.utils.data import Sampler

from data.augment.rng import Stream, generator
from data.loading.dataset import SampleKey
from data.loading.image_weights import Draw, draw_uniformly

SIZE_STEP = 32
"""Random image sizes are multiples of this many pixels, or of the stride if larger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainPlan:
    """The plan of a run's batches.

    image_size is a multiple of `stride`; multi_scale in [0, 1) samples the size of each batch
    between 1 - multi_scale and 1 + multi_scale times image_size; the last `close_mosaic` of
    `epochs` have no mosaic. `draw` samples num_images images of an epoch, in their order.

    Of `processes`, each takes an equal part of every `processes` * batch_size images; where the
    last ones of an epoch cannot be divided equally, the first ones are repeated.
    """

    num_images: int
    batch_size: int
    image_size: int
    seed: int
    epochs: int
    stride: int = SIZE_STEP
    multi_scale: float = 0.0
    close_mosaic: int = 0
    draw: Draw = draw_uniformly
    processes: int = 1
    process: int = 0

    @property
    def num_batches(self) -> int:
        """Batches per epoch; the last one may be smaller."""
        return math.ceil(self.num_images / self._joint_size)

    @property
    def _joint_size(self) -> int:
        """Images of a batch over all processes."""
        return self.batch_size * self.processes

    def batch_image_size(self, epoch: int, batch: int) -> int:
        """Return the side of the square images of a batch, pixels."""
        if not self.multi_scale:
            return self.image_size
        step = max(SIZE_STEP, self.stride)
        low, high = image_size_range(self.image_size, self.stride, self.multi_scale)
        rng = generator(self.seed, Stream.IMAGE_SIZE, epoch, batch)
        return int(rng.integers(low // step, high // step + 1)) * step

    def keys(self, epoch: int, start: int = 0) -> Iterator[list[SampleKey]]:
        """Yield the keys of each batch of `epoch`, from batch `start` on."""
        order = self.draw(self.num_images, generator(self.seed, Stream.ORDER, epoch, 0))
        mosaic = epoch < self.epochs - self.close_mosaic
        for batch in range(start, self.num_batches):
            size = self.batch_image_size(epoch, batch)
            joint = order[batch * self._joint_size : (batch + 1) * self._joint_size]
            yield [
                SampleKey(epoch=epoch, index=index, image_size=size, mosaic=mosaic, copy=copy)
                for index, copy in self._own_part(joint, order)
            ]

    def _own_part(
        self, joint: list[tuple[int, int]], order: list[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        missing = -len(joint) % self.processes
        filled = [*joint, *islice(cycle(order), missing)]
        part = len(filled) // self.processes
        return filled[self.process * part : (self.process + 1) * part]


class TrainSampler(Sampler[list[SampleKey]]):
    """The batches of the epoch chosen with `select`.

    torch's DataLoader iterates it each epoch in the main process; workers receive keys only.
    """

    def __init__(self, plan: TrainPlan) -> None:
        self._plan = plan
        self._epoch = 0
        self._start = 0

    def select(self, epoch: int, start: int) -> None:
        """Choose what the next iteration yields: `epoch`, from batch `start` on."""
        if epoch < 0 or not 0 <= start <= self._plan.num_batches:
            raise ValueError(f"no batch {start} in epoch {epoch} of {self._plan.num_batches}")
        self._epoch, self._start = epoch, start

    def __len__(self) -> int:
        return self._plan.num_batches - self._start

    def __iter__(self) -> Iterator[list[SampleKey]]:
        return self._plan.keys(self._epoch, self._start)


def image_size_range(image_size: int, stride: int, multi_scale: float) -> tuple[int, int]:
    """Return the smallest and largest side of training images, pixels; see `TrainPlan`."""
    if not multi_scale:
        return image_size, image_size
    step = max(SIZE_STEP, stride)
    # The margins keep a bound such as (1 - 0.7) * 320 / 32 = 3.0000000000000004 in range.
    low = math.ceil((1 - multi_scale) * image_size / step - 1e-9)
    high = math.floor((1 + multi_scale) * image_size / step + 1e-9)
    return max(low, 1) * step, max(high, 1) * step


def group_by_shape(shapes: Sequence[tuple[int, int]], batch_size: int) -> list[list[int]]:
    """Return positions in batches of equal shape, at most `batch_size` each.

    Shapes come in ascending order, positions within a shape too.
    """
    groups: dict[tuple[int, int], list[int]] = {}
    for position, shape in enumerate(shapes):
        groups.setdefault(shape, []).append(position)
    return [
        groups[shape][first : first + batch_size]
        for shape in sorted(groups)
        for first in range(0, len(groups[shape]), batch_size)
    ]
