"""The plan of a batch, and its samples in the memory of one array."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from data.augment.batch.drawing import SceneDrawer
from data.augment.batch.geometry import Floats, Objects, Tiles
from data.augment.mixup import blend
from data.augment.operation import SampledOp
from utils.structures.images import ImageArray, ImageMeta, Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SampleRow:
    """What a batch knows of one sample beside its scenes."""

    scenes: tuple[int, int]
    """The first of its scenes and the one after its last: one, or two that are blended."""
    share: float
    """Of the first scene in the blend, 0 to 1."""
    ops: tuple[SampledOp, ...]
    """All pixel operations, in their order; some may not change this sample."""
    meta: ImageMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """The sampled parameters of a batch of square samples of `image_size` pixels."""

    image_size: int
    tiles: Tiles
    objects: Objects
    rows: Sequence[SampleRow]

    def render(self, read: Callable[[int], ImageArray], sizes: Floats) -> list[Sample]:
        """Return the samples.

        Args:
            read: gives the pixels of a record by its index.
            sizes: (T, 2) height and width that `read` is expected to give for each tile; others
                take longer.

        The images lie one after the other in one array, so that a batch of them needs no copy.

        Raises:
            UserError: an image cannot be read.
        """
        size = self.image_size
        images = np.empty((len(self.rows), size, size, 3), np.uint8)
        drawer = SceneDrawer(self.tiles, sizes, read)
        return [
            self._sample(row, image, drawer) for row, image in zip(self.rows, images, strict=True)
        ]

    def _sample(self, row: SampleRow, image: ImageArray, drawer: SceneDrawer) -> Sample:
        # One sample at a time: its image stays in the processor's cache until it is finished.
        first, stop = row.scenes
        drawer.draw(first, image)
        changed = image
        for scene in range(first + 1, stop):
            second = np.empty_like(image)
            drawer.draw(scene, second)
            changed = blend(changed, second, row.share)
        start, end = self.objects.ends[first], self.objects.ends[stop]
        boxes = self.objects.boxes[start:end]
        for op in row.ops:
            changed = op.apply(changed)
            boxes = op.move_boxes(boxes, self.image_size)
        if changed is not image:
            image[:] = changed
        return Sample(
            image=image,
            boxes=boxes,
            labels=self.objects.labels[start:end],
            ignore=self.objects.ignore[start:end],
            meta=row.meta,
        )
