"""Datasets: a key to a sample, augmented (training) or letterboxed (evaluation); collate.

A key contains everything that varies, so a dataset has no state that could differ between workers.
The keys of an epoch are made in `samplers.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from configs.schema.augment import AugmentSettings
from data.augment.layout import Canvases, affine_values, draw_units, place_scenes
from data.augment.mixup import draw_share
from data.augment.operation import PixelOp, SampledOp
from data.augment.pixel_ops import PIXEL_OPS
from data.augment.plan import BatchPlan, SampleObjects, SampleRow
from data.augment.rng import SampleStreams
from data.images.letterbox import Letterbox, evaluation_letterbox
from data.images.pixels import ReadRecord, ShrinkingReader, read_record
from data.records.split import RecordTable
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageArray, ImageMeta, Record, Sample


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
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[SampleKey]) -> list[Sample]:
        """Return the samples of `keys`, of one image size; each is the same whatever the others.

        Raises:
            UserError: an image cannot be read.
        """
        plan = self.plan(keys)
        sizes = self._records.sizes(plan.tiles.index).astype(np.float64)
        if isinstance(self._read, ShrinkingReader):
            sizes = self._read.sizes(sizes)
        return plan.render(self.read, sizes)

    def batch(self, keys: Sequence[SampleKey]) -> Batch:
        """Return the batch of `keys`, of one image size.

        Raises:
            UserError: an image cannot be read.
        """
        return collate(self.__getitems__(keys))

    def read(self, index: int) -> ImageArray:
        """Return the pixels (h, w, 3) of a record.

        Raises:
            UserError: its image cannot be read.
        """
        return self._read(self._records[index])

    def plan(self, keys: Sequence[SampleKey]) -> BatchPlan:
        """Sample the augmentation parameters of `keys`, of one image size; no pixels are read.

        Raises:
            ValueError: there is no key, or they have several image sizes.
        """
        (image_size,) = {key.image_size for key in keys}
        canvases, rows = Canvases(), []
        for key in keys:
            first = len(canvases)
            share = self._lay_out(key, canvases)
            rows.append(
                SampleRow(
                    scenes=(first, len(canvases)),
                    share=share,
                    ops=self._sampled_ops(key),
                    meta=self._meta(key.index),
                )
            )
        values = affine_values(canvases.units, self._augment)
        tiles, objects = place_scenes(canvases, values, self._records)
        return BatchPlan(image_size=image_size, tiles=tiles, objects=objects, rows=rows)

    def _lay_out(self, key: SampleKey, canvases: Canvases) -> float:
        """Add the scenes of a sample to `canvases`: a single image, a mosaic, or two mosaics.

        A second mosaic takes the next numbers of the same streams.

        Returns:
            the mixup share of the first.
        """
        mosaic, affine = self._stream("mosaic", key), self._stream("affine", key)
        if not key.mosaic or mosaic.random() >= self._augment.mosaic:
            size = self._records.size(key.index)
            canvases.add_single(key.index, size, key.image_size)
            canvases.units.append(draw_units(affine))
            return 1.0
        self._lay_out_mosaic(key.index, key.image_size, mosaic, canvases)
        canvases.units.append(draw_units(affine))
        mixup = self._stream("mixup", key)
        if mixup.random() >= self._augment.mixup:
            return 1.0
        self._lay_out_mosaic(int(mixup.integers(len(self))), key.image_size, mosaic, canvases)
        canvases.units.append(draw_units(affine))
        return draw_share(mixup)

    def _lay_out_mosaic(
        self, index: int, image_size: int, rng: np.random.Generator, canvases: Canvases
    ) -> None:
        indices, is_nine = self._mosaic_indices(index, rng)
        if is_nine:
            canvases.add_nine(indices, self._records.size(index), image_size, rng)
        else:
            canvases.add_four(indices, image_size, rng)

    def _sampled_ops(self, key: SampleKey) -> tuple[SampledOp, ...]:
        return tuple(
            SampledOp(op=op, parameters=op.sample(self._stream(op.name, key), self._augment))
            for op in self._ops
        )

    def _meta(self, index: int) -> ImageMeta:
        record = self._records[index]
        return ImageMeta(
            path=record.path,
            image_id=record.image_id,
            original_size=record.size,
            # An augmented image cannot be mapped back to the original: its frame is its own.
            scale=(1.0, 1.0),
            pad=(0, 0),
        )

    def _stream(self, name: str, key: SampleKey) -> np.random.Generator:
        return self._streams(name, key.epoch, key.index, key.copy)

    def _mosaic_indices(self, index: int, rng: np.random.Generator) -> tuple[list[int], bool]:
        """Return the images of a mosaic row by row, and whether they are nine instead of four."""
        if rng.random() < self._augment.mosaic_nine:
            others = rng.integers(len(self), size=8).tolist()
            return [*others[:4], index, *others[4:]], True
        return rng.permutation([index, *rng.integers(len(self), size=3)]).tolist(), False


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

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return the batch of some images, whose frames have one shape.

        Raises:
            UserError: an image cannot be read.
        """
        return collate([self[index] for index in indices])


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
        if rows == [row.__array_interface__ for row in whole]:
            return whole
    return np.stack(images)


def join_targets(samples: Sequence[Sample | SampleObjects]) -> Targets:
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
