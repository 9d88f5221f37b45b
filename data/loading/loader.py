"""Batches of a training run and of an evaluation, loaded by worker processes.

What a batch contains does not depend on the number of workers.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from configs.schema.evaluation import EvalSettings
from configs.schema.experiment import Experiment
from configs.schema.train import TrainSettings
from data.augment.custom import load_custom_ops
from data.augment.pixel_ops import PIXEL_OPS
from data.images.cache import ImageCache, open_image_cache
from data.images.pixels import ShrinkingReader
from data.loading.dataset import EvalDataset, TrainDataset
from data.loading.device_rendering import RenderedBatches, rendering_device
from data.loading.image_weights import build_draw
from data.loading.planned_batch import load_planned
from data.loading.samplers import TrainPlan, TrainSampler, group_by_shape, image_size_range
from data.loading.workers import WorkerLoader
from utils.runtime.distributed.ranks import ALONE, Ranks
from utils.runtime.errors import UserError
from utils.runtime.machine.threads import loader_workers
from utils.structures.batch import Batch
from utils.structures.images import Record

_CPU = torch.device("cpu")
MOST_SOURCES = 4
"""Source images sent to the device per image of a batch that is rendered there."""


class TrainBatches:
    """The batches of every epoch of a training run; `close` ends the workers.

    The workers render them, or the device `render_on` does: then workers send the source pixels,
    and batches are on that device. `processes` train on this machine and share its memory.
    """

    def __init__(
        self,
        dataset: TrainDataset,
        plan: TrainPlan,
        *,
        workers: int,
        pin_memory: bool = False,
        render_on: torch.device | None = None,
        processes: int = 1,
    ) -> None:
        self._plan = plan
        self._sampler = TrainSampler(plan)
        self._loader: WorkerLoader[Batch] | RenderedBatches
        if render_on is None:
            self._loader = WorkerLoader(
                dataset.batch,
                self._sampler,
                workers=workers,
                pin_memory=pin_memory,
                batch_bytes=largest_batch_bytes(plan),
                processes=processes,
            )
        else:
            loader = WorkerLoader(
                partial(load_planned, dataset),
                self._sampler,
                workers=workers,
                pin_memory=pin_memory,
                batch_bytes=MOST_SOURCES * largest_batch_bytes(plan),
                processes=processes,
            )
            self._loader = RenderedBatches(loader, render_on)

    @property
    def num_images(self) -> int:
        """Images per epoch."""
        return self._plan.num_images

    def __len__(self) -> int:
        """Batches per epoch."""
        return self._plan.num_batches

    def epoch(self, epoch: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch`, counted from 0, from batch `start` on.

        One epoch at a time: a new call ends the one before.

        Raises:
            UserError: an image cannot be read.
        """
        self._sampler.select(epoch, start)
        yield from self._loader

    def start(self) -> None:
        """Start the worker processes now instead of at the first batch."""
        self._loader.start()

    def close(self) -> None:
        """End the worker processes; a later `epoch` starts new ones."""
        self._loader.close()


class EvalBatches:
    """Letterboxed images in batches of equal shape, in a fixed order; iterable any number of times.

    The order is by shape, then by position in the records; `ImageMeta.image_id` identifies the
    images. Several processes share the batches, each image in one of them.
    """

    def __init__(
        self,
        dataset: EvalDataset,
        *,
        batch_size: int,
        workers: int,
        pin_memory: bool = False,
        ranks: Ranks = ALONE,
    ) -> None:
        shapes = [dataset.shape(index) for index in range(len(dataset))]
        self._batches = group_by_shape(shapes, batch_size)[ranks.rank :: ranks.size]
        self._num_images = sum(map(len, self._batches))
        self._loader = WorkerLoader(
            dataset.batch,
            self._batches,
            workers=workers,
            pin_memory=pin_memory,
            batch_bytes=max(
                (
                    3 * len(batch) * shapes[batch[0]][0] * shapes[batch[0]][1]
                    for batch in self._batches
                ),
                default=0,
            ),
            processes=ranks.local_size,
        )

    @property
    def num_images(self) -> int:
        """Images in all batches."""
        return self._num_images

    def __len__(self) -> int:
        """Number of batches."""
        return len(self._batches)

    def __iter__(self) -> Iterator[Batch]:
        """Yield every batch once.

        Raises:
            UserError: an image cannot be read.
        """
        yield from self._loader

    def start(self) -> None:
        """As of `TrainBatches`."""
        self._loader.start()

    def close(self) -> None:
        """End the worker processes; a later iteration starts new ones."""
        self._loader.close()


def largest_batch_bytes(plan: TrainPlan) -> int:
    """Return the bytes of the pixels of the largest batch of a plan."""
    _, side = image_size_range(plan.image_size, plan.stride, plan.multi_scale)
    return 3 * plan.batch_size * side * side


def build_train_batches(
    records: Sequence[Record],
    experiment: Experiment,
    *,
    stride: int,
    device: torch.device = _CPU,
    cache: ImageCache | None = None,
    ranks: Ranks = ALONE,
) -> TrainBatches:
    """Return the training batches of an experiment.

    Args:
        records: the training split.
        experiment: sections train and augment are read.
        stride: coarsest stride of the network, pixels.
        device: of the training; batches are there if it renders them, see `augment.device`.
        cache: where decoded images are kept; without it batches are the same, but slower.
        ranks: this process among those that share the images of an epoch.

    Raises:
        UserError: there are no images, the image size is not a multiple of `stride`, or an
            operation of `augment.custom` cannot be used.
    """
    train, augment = experiment.train, experiment.augment
    custom = load_custom_ops(augment.custom)
    if not records:
        raise UserError("the training split has no usable image; see labels_report.csv")
    check_image_size(train.image_size, stride)
    plan = TrainPlan(
        num_images=len(records),
        batch_size=train.batch_size,
        image_size=train.image_size,
        seed=train.seed,
        epochs=train.epochs,
        stride=stride,
        multi_scale=train.multi_scale,
        close_mosaic=augment.close_mosaic,
        draw=build_draw(train.sampler, records),
        processes=ranks.size,
        process=ranks.rank,
    )
    reader = train_reader(train, stride, cache)
    ops = (*PIXEL_OPS, *custom)
    dataset = TrainDataset(records, augment=augment, seed=train.seed, read=reader, ops=ops)
    return TrainBatches(
        dataset,
        plan,
        workers=loader_workers(train.workers, device.type, processes=ranks.local_size),
        # Page-locked memory only speeds up copies to CUDA.
        pin_memory=device.type == "cuda",
        render_on=rendering_device(augment.device, device, ops),
        processes=ranks.local_size,
    )


def build_eval_batches(
    records: Sequence[Record],
    *,
    image_size: int,
    stride: int,
    settings: EvalSettings,
    workers: int,
    pin_memory: bool = False,
    cache: ImageCache | None = None,
    ranks: Ranks = ALONE,
) -> EvalBatches:
    """Return the batches of an evaluation.

    Args:
        records: the split to evaluate on.
        image_size: long side of the resized images, pixels, a multiple of `stride`.
        stride: coarsest stride of the network, pixels.
        settings: batch_size and rectangular are read.
        workers: processes that load images; 0 loads in this one.
        pin_memory: hand out page-locked batches, for a CUDA device.
        cache: where decoded images are kept; without it batches are the same, but slower.
        ranks: this process among those that share the images.

    Raises:
        UserError: the image size is not a multiple of `stride`.
    """
    check_image_size(image_size, stride)
    dataset = EvalDataset(
        records,
        image_size=image_size,
        stride=stride,
        rectangular=settings.rectangular,
        read=eval_reader(image_size, cache),
    )
    return EvalBatches(
        dataset,
        batch_size=settings.batch_size,
        workers=workers,
        pin_memory=pin_memory,
        ranks=ranks,
    )


def check_image_size(image_size: int, stride: int) -> None:
    """Raise UserError unless `image_size` is a multiple of `stride`, both in pixels."""
    if image_size % stride:
        below = image_size // stride * stride
        choices = f"{below} or {below + stride}" if below else f"{stride}"
        raise UserError(
            f"train.image_size: {image_size} is not a multiple of the network's largest stride, "
            f"{stride}; take {choices}"
        )


def train_reader(train: TrainSettings, stride: int, cache: ImageCache | None) -> ShrinkingReader:
    """Return the reader of training images, shrunk to the largest image size of the training."""
    _, largest = image_size_range(train.image_size, stride, train.multi_scale)
    return ShrinkingReader(largest, exact=False, cache=cache)


def eval_reader(image_size: int, cache: ImageCache | None) -> ShrinkingReader:
    """Return the reader of evaluation images, with exactly the pixels of the letterbox."""
    return ShrinkingReader(image_size, exact=True, cache=cache)


def open_training_cache(
    train: TrainSettings,
    train_records: Sequence[Record],
    val_records: Sequence[Record],
    *,
    stride: int,
) -> ImageCache | None:
    """Return the cache of `train.cache`, with room for the images of both splits.

    None where it is off or, with `auto`, if not all images fit.
    """
    if train.cache == "off":  # keys need the time of change of every image
        return None
    wanted = train_reader(train, stride, None).wanted(train_records)
    wanted |= eval_reader(train.image_size, None).wanted(val_records)
    return open_image_cache(wanted, mode=train.cache, limit_gib=train.cache_limit)
