"""Datasets: a key to a sample, augmented (training) or letterboxed (evaluation); collate.

A key contains everything that varies, so a dataset has no state that could differ between workers.
The keys of an epoch are made in `samplers.py`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from configs.schema.augment import AugmentSettings
from data.augment.affine import draw_affine
from data.augment.device.sources import PlannedSample, gather
from data.augment.layout import Layout, mosaic_four, mosaic_nine, single
from data.augment.mixup import draw_share
from data.augment.operation import PixelOp, SampledOp
from data.augment.pixel_ops import PIXEL_OPS
from data.augment.plan import SamplePlan, Scene, build_plan, compose, render
from data.augment.rng import SampleStreams
from data.images.letterbox import Letterbox, evaluation_letterbox
from data.images.pixels import ReadRecord, read_record
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageMeta, Record, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleKey:
    """Key of a sample: record `index` in `epoch`, `image_size` pixels square.

    `mosaic` allows mosaic and mixup; false in the last epochs. `copy` counts the appearances of the
    record in the epoch from 0; each is augmented anew.
    """

    epoch: int
    index: int
    image_size: int
    mosaic: bool = True
    copy: int = 0


class TrainDataset(Dataset[Sample]):
    """Augmented samples; every random choice comes from (seed, epoch, index, operation)."""

    def __init__(
        self,
        records: Sequence[Record],
        *,
        augment: AugmentSettings,
        seed: int,
        read: ReadRecord = read_record,
        ops: Sequence[PixelOp] = PIXEL_OPS,
    ) -> None:
        self._records = RecordTable(records)
        self._read = read
        self._augment = augment
        self._ops = tuple(ops)
        self._streams = SampleStreams(seed)

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, key: SampleKey) -> Sample:
        """Return the sample of `key`.

        Raises:
            UserError: an image cannot be read.
        """
        return render(self.plan(key), self._read)

    def planned(self, key: SampleKey) -> PlannedSample:
        """Return the sample of `key` for the device to render.

        Raises:
            UserError: an image cannot be read.
        """
        return gather(self.plan(key), self._read)

    def plan(self, key: SampleKey) -> SamplePlan:
        """Sample the augmentation parameters of `key`; no pixels are read."""
        scenes, share = self._scenes(key)
        ops = tuple(
            SampledOp(op=op, parameters=op.sample(self._stream(op.name, key), self._augment))
            for op in self._ops
        )
        record = self._records[key.index]
        meta = ImageMeta(
            path=record.path,
            image_id=record.image_id,
            original_size=record.size,
            # An augmented image cannot be mapped back to the original: its frame is its own.
            scale=(1.0, 1.0),
            pad=(0, 0),
        )
        return build_plan(scenes, share=share, ops=ops, meta=meta)

    def _stream(self, name: str, key: SampleKey) -> np.random.Generator:
        return self._streams(name, key.epoch, key.index, key.copy)

    def _scenes(self, key: SampleKey) -> tuple[tuple[Scene, ...], float]:
        """Return one or two scenes (mosaics or a single image), and the mixup share of the first.

        A second mosaic takes the next numbers of the same streams.
        """
        mosaic, affine = self._stream("mosaic", key), self._stream("affine", key)
        if not key.mosaic or mosaic.random() >= self._augment.mosaic:
            size = self._records.size(key.index)
            return (self._scene(single(key.index, size, key.image_size), key, affine),), 1.0
        scene = self._scene(self._mosaic(key.index, key.image_size, mosaic), key, affine)
        mixup = self._stream("mixup", key)
        if mixup.random() >= self._augment.mixup:
            return (scene,), 1.0
        partner = int(mixup.integers(len(self)))
        second = self._scene(self._mosaic(partner, key.image_size, mosaic), key, affine)
        return (scene, second), draw_share(mixup)

    def _mosaic(self, index: int, image_size: int, rng: np.random.Generator) -> Layout:
        """Return a mosaic of image `index` and random others; of nine it is the middle one."""
        if rng.random() < self._augment.mosaic_nine:
            others = rng.integers(len(self), size=8).tolist()
            indices = [*others[:4], index, *others[4:]]
            lay = mosaic_nine
        else:
            indices = rng.permutation([index, *rng.integers(len(self), size=3)]).tolist()
            lay = mosaic_four
        return lay(indices, [self._records.size(i) for i in indices], image_size, rng)

    def _scene(self, layout: Layout, key: SampleKey, rng: np.random.Generator) -> Scene:
        affine = draw_affine(self._augment, rng)
        affine = affine.snapped(layout.corner, layout.side, key.image_size)
        return compose(layout, self._records, affine, key.image_size)


class PlannedDataset(Dataset[PlannedSample]):
    """The samples of a `TrainDataset` for the device to render."""

    def __init__(self, dataset: TrainDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, key: SampleKey) -> PlannedSample:
        """Return the sample of `key`.

        Raises:
            UserError: an image cannot be read.
        """
        return self._dataset.planned(key)


class EvalDataset(Dataset[Sample]):
    """Letterboxed samples; keys are positions in `records`."""

    def __init__(
        self,
        records: Sequence[Record],
        *,
        image_size: int,
        stride: int,
        rectangular: bool,
        read: ReadRecord = read_record,
    ) -> None:
        self._records = RecordTable(records)
        self._read = read
        self._image_size = image_size
        self._stride = stride
        self._rectangular = rectangular

    def __len__(self) -> int:
        return len(self._records)

    def shape(self, index: int) -> tuple[int, int]:
        """Return (height, width) of the network frame of image `index`."""
        return self._letterbox(self._records.size(index)).shape

    def _letterbox(self, size: tuple[int, int]) -> Letterbox:
        return evaluation_letterbox(
            size,
            image_size=self._image_size,
            stride=self._stride,
            rectangular=self._rectangular,
        )

    def __getitem__(self, index: int) -> Sample:
        """Return image `index` in its network frame.

        Raises:
            UserError: the image cannot be read.
        """
        record = self._records[index]
        frame = self._letterbox(record.size)
        meta = frame.meta(record.path, record.image_id)
        return Sample(
            image=frame.apply(self._read(record)),
            boxes=meta.to_network(record.boxes),
            labels=record.labels,
            ignore=record.ignore,
            meta=meta,
        )


def collate(samples: Sequence[Sample]) -> Batch:
    """Return one batch of `samples`, whose images (H, W, 3) have one shape.

    Images are stacked as they are in memory, (B, H, W, 3), and only viewed as (B, 3, H, W):
    channels-last memory, no transposed copy. Ignored boxes are left out of the targets.
    """
    images = torch.from_numpy(np.stack([sample.image for sample in samples]))
    return Batch(
        images=images.permute(0, 3, 1, 2),
        targets=join_targets(samples),
        metas=tuple(sample.meta for sample in samples),
    )


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


class RecordTable(Sequence[Record]):
    """An immutable sequence of records in a few flat arrays, the form for loader workers.

    A list of Record objects costs each worker its own copy as time goes by (reading an object
    writes its reference count, which copies its memory page) and is slow to hand over where
    processes are spawned. Arrays are shared; `table[i]` rebuilds a record of views.
    """

    def __init__(self, records: Sequence[Record]) -> None:
        paths = [record.path.encode("utf-8", "surrogateescape") for record in records]
        self._paths = b"".join(paths)
        self._path_ends = _ends([len(path) for path in paths])
        self._row_ends = _ends([len(record.boxes) for record in records])
        self._image_ids = np.array([record.image_id for record in records], np.int64)
        self._sizes = np.array([record.size for record in records], np.int64).reshape(-1, 2)
        self._depths = np.array([record.depth or 0 for record in records], np.uint8)
        empty = np.zeros(0, np.float32)
        self._boxes = np.concatenate([empty.reshape(0, 4), *(r.boxes for r in records)])
        self._labels = np.concatenate([empty.astype(np.int64), *(r.labels for r in records)])
        self._ignore = np.concatenate([empty.astype(np.bool_), *(r.ignore for r in records)])
        self._area = np.concatenate([empty, *(r.area for r in records)])

    def __len__(self) -> int:
        return len(self._image_ids)

    @overload
    def __getitem__(self, index: int) -> Record: ...

    @overload
    def __getitem__(self, index: slice) -> "list[Record]": ...

    def __getitem__(self, index: int | slice) -> "Record | list[Record]":
        """Return one record, or a list of them for a slice."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"record {index} of {len(self)}")
        index %= len(self)
        path = self._paths[self._path_ends[index] : self._path_ends[index + 1]]
        rows = slice(self._row_ends[index], self._row_ends[index + 1])
        return Record(
            path=path.decode("utf-8", "surrogateescape"),
            image_id=int(self._image_ids[index]),
            size=self.size(index),
            boxes=self._boxes[rows],
            labels=self._labels[rows],
            ignore=self._ignore[rows],
            area=self._area[rows],
            depth=int(self._depths[index]) or None,
        )

    def __iter__(self) -> Iterator[Record]:
        return (self[index] for index in range(len(self)))

    def size(self, index: int) -> tuple[int, int]:
        """Return (height, width) of image `index` without building its record."""
        height, width = self._sizes[index].tolist()
        return height, width


def _ends(lengths: list[int]) -> npt.NDArray[np.int64]:
    return np.cumsum([0, *lengths], dtype=np.int64)
