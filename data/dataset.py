"""From a key to a sample: plan and draw (training) or letterbox (evaluation).

A key says everything that varies, so a dataset holds no state that could differ between workers.
Which keys make an epoch is in `samplers.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch.utils.data import Dataset

from configs.schema.augment import AugmentSettings
from data.augment.affine import draw_affine
from data.augment.compose import compose
from data.augment.device.sources import PlannedSample, gather
from data.augment.hsv import draw_gains
from data.augment.layout import Layout, mosaic_four, mosaic_nine, single
from data.augment.mixup import draw_share
from data.augment.plan import SamplePlan, Scene, build_plan
from data.augment.render import render
from data.augment.rng import Stream, generator
from data.letterbox import Letterbox, evaluation_letterbox
from data.pixels import ReadRecord, read_record
from data.record_table import RecordTable
from utils.structures.images import ImageMeta, Record, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleKey:
    """Which sample: record `index` as it is drawn in `epoch`, `image_size` pixels square.

    `mosaic` allows mosaic and mixup; false in the last epochs. `copy` counts the appearances of the
    record in the epoch from 0; each is drawn anew.
    """

    epoch: int
    index: int
    image_size: int
    mosaic: bool = True
    copy: int = 0


class TrainDataset(Dataset[Sample]):
    """Augmented samples; every draw comes from (seed, epoch, index)."""

    def __init__(
        self,
        records: Sequence[Record],
        *,
        augment: AugmentSettings,
        seed: int,
        read: ReadRecord = read_record,
    ) -> None:
        self._records = RecordTable(records)
        self._read = read
        self._augment = augment
        self._seed = seed

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, key: SampleKey) -> Sample:
        """Return the sample of `key`.

        Raises:
            UserError: an image cannot be read.
        """
        return render(self.plan(key), self._read)

    def planned(self, key: SampleKey) -> PlannedSample:
        """Return the sample of `key` for somebody else to draw.

        Raises:
            UserError: an image cannot be read.
        """
        return gather(self.plan(key), self._read)

    def plan(self, key: SampleKey) -> SamplePlan:
        """Draw lots for the sample of `key`; no pixels are read."""
        augment = self._augment
        rng = generator(self._seed, Stream.SAMPLE, key.epoch, key.index, key.copy)
        scenes, share = self._scenes(key, rng)
        gains = draw_gains(augment, rng)
        flip_x, flip_y = rng.random(2) < (augment.flip_horizontal, augment.flip_vertical)
        record = self._records[key.index]
        meta = ImageMeta(
            path=record.path,
            image_id=record.image_id,
            original_size=record.size,
            # An augmented image has no way back to the original: its frame is its own.
            scale=(1.0, 1.0),
            pad=(0, 0),
        )
        flips = bool(flip_x), bool(flip_y)
        return build_plan(scenes, share=share, gains=gains, flips=flips, meta=meta)

    def _scenes(self, key: SampleKey, rng: np.random.Generator) -> tuple[tuple[Scene, ...], float]:
        """Return mosaic, two mosaics to blend or a single image, and the share of the first."""
        if not key.mosaic or rng.random() >= self._augment.mosaic:
            size = self._records.size(key.index)
            return (self._scene(single(key.index, size, key.image_size), key, rng),), 1.0
        scene = self._scene(self._mosaic(key.index, key.image_size, rng), key, rng)
        if rng.random() >= self._augment.mixup:
            return (scene,), 1.0
        partner = int(rng.integers(len(self)))
        second = self._scene(self._mosaic(partner, key.image_size, rng), key, rng)
        return (scene, second), draw_share(rng)

    def _mosaic(self, index: int, image_size: int, rng: np.random.Generator) -> Layout:
        """Lay image `index` and random others out; it is the middle one of nine."""
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
    """The samples of a `TrainDataset`, not drawn."""

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
        (vertical, horizontal), (top, left) = frame.scale, frame.pad
        scale = np.array([horizontal, vertical, horizontal, vertical], np.float32)
        return Sample(
            image=frame.apply(self._read(record)),
            boxes=record.boxes * scale + np.array([left, top, left, top], np.float32),
            labels=record.labels,
            ignore=record.ignore,
            meta=frame.meta(record.path, record.image_id),
        )
