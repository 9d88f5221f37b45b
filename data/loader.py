"""Batches of a training and of an evaluation, loaded by worker processes.

Workers receive keys and return uint8 batches. What a batch holds does not depend on the number of
workers.
"""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset

from configs.schema.evaluation import EvalSettings
from configs.schema.experiment import Experiment
from data.collate import collate
from data.dataset import EvalDataset, TrainDataset
from data.image_cache import ImageCache
from data.image_weights import build_draw
from data.reading import eval_reader, train_reader
from data.samplers import TrainPlan, TrainSampler, group_by_shape
from utils.runtime.errors import UserError
from utils.runtime.memory import reuse_freed_memory
from utils.runtime.ranks import ALONE, Ranks
from utils.structures.batch import Batch
from utils.structures.images import Record, Sample


class TrainBatches:
    """The batches of every epoch of a training; `close` ends the workers."""

    def __init__(
        self, dataset: TrainDataset, plan: TrainPlan, *, workers: int, pin_memory: bool = False
    ) -> None:
        self._plan = plan
        self._sampler = TrainSampler(plan)
        self._loader = _Loader(dataset, self._sampler, workers=workers, pin_memory=pin_memory)

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

    def close(self) -> None:
        """End the worker processes; a later `epoch` starts new ones."""
        self._loader.close()


class EvalBatches:
    """Letterboxed images in batches of equal shape, in a fixed order; iterable any number of times.

    The order is by shape, then by position in the records; `ImageMeta.image_id` tells which is
    which. Several processes share the batches, each image in one of them.
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
        self._loader = _Loader(dataset, self._batches, workers=workers, pin_memory=pin_memory)

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

    def close(self) -> None:
        """End the worker processes; a later iteration starts new ones."""
        self._loader.close()


def build_train_batches(
    records: Sequence[Record],
    experiment: Experiment,
    *,
    stride: int,
    cache: ImageCache | None = None,
    ranks: Ranks = ALONE,
) -> TrainBatches:
    """Return the training batches of an experiment.

    Args:
        records: the training split.
        experiment: sections train and augment are read.
        stride: coarsest stride of the network, pixels.
        cache: where decoded images are kept; without it batches are the same, but slower.
        ranks: this process among those that share the images of an epoch.

    Raises:
        UserError: there are no images, or the image size is no multiple of `stride`.
    """
    train, augment = experiment.train, experiment.augment
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
    dataset = TrainDataset(records, augment=augment, seed=train.seed, read=reader)
    # Page-locked memory only speeds up copies to CUDA, and making it would start CUDA.
    pin_memory = train.device != "cpu" and torch.cuda.is_available()
    return TrainBatches(dataset, plan, workers=train.workers, pin_memory=pin_memory)


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
        records: the split to judge on.
        image_size: long side of the resized images, pixels, a multiple of `stride`.
        stride: coarsest stride of the network, pixels.
        settings: batch_size and rectangular are read.
        workers: processes that load images; 0 loads in this one.
        pin_memory: hand out page-locked batches, for a CUDA device.
        cache: where decoded images are kept; without it batches are the same, but slower.
        ranks: this process among those that share the images.

    Raises:
        UserError: the image size is no multiple of `stride`.
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


class _Loader:
    """torch's DataLoader with workers that live across epochs, end quietly, report in one line."""

    def __init__(
        self, dataset: Dataset[Sample], batch_sampler: Any, *, workers: int, pin_memory: bool
    ) -> None:
        workers = min(workers, len(batch_sampler))
        if workers == 0:
            # OpenCV's own threads compete with torch's in this process and slow both down.
            cv2.setNumThreads(0)
            reuse_freed_memory()
        self._loader: DataLoader[Any] = DataLoader(
            _Reported(dataset),
            batch_sampler=batch_sampler,
            num_workers=workers,
            collate_fn=_collate_reported,
            worker_init_fn=_start_worker,
            persistent_workers=workers > 0,
            pin_memory=pin_memory,
            # Otherwise the loader takes its seed from torch's global generator, and every later
            # draw in the process depends on how often a loader was started.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Batch]:
        with _signals_held():
            batches = iter(self._loader)
        for batch in batches:
            if isinstance(batch, UserError):
                raise batch
            yield batch

    def close(self) -> None:
        """End the workers. torch has no public way to do so while a traceback refers to them."""
        shutdown = getattr(self._loader._iterator, "_shutdown_workers", None)
        self._loader._iterator = None
        if shutdown is not None:
            shutdown()


class _Reported(Dataset[Any]):
    """A dataset that returns a user's mistake instead of raising it.

    DataLoader would wrap the text of an exception in the traceback of the worker.
    """

    def __init__(self, dataset: Dataset[Sample]) -> None:
        self._dataset = dataset

    def __getitem__(self, key: Any) -> "Sample | UserError":
        try:
            return self._dataset[key]
        except UserError as error:
            return error


def _collate_reported(samples: "list[Sample | UserError]") -> "Batch | UserError":
    good: list[Sample] = []
    for sample in samples:
        if isinstance(sample, UserError):
            return sample
        good.append(sample)
    return collate(good)


_HELD = {signal.SIGINT, signal.SIGTERM}
_CAN_HOLD = hasattr(signal, "pthread_sigmask")
"""Not on Windows."""


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep signals back while workers start: they inherit this until they ignore them."""
    if not _CAN_HOLD:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(_worker: int) -> None:
    # Ctrl-C reaches every process of the terminal, and cluster managers signal all processes of a
    # job; the main process decides what happens. Workers end when it closes them or is gone.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if _CAN_HOLD:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    reuse_freed_memory()
