"""A batch for rendering on the device: source pixels in one tensor, tables, targets."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data.augment.device.scenes import SceneTables, blend_scenes, chunks, render_scenes
from data.augment.device.sources import PlannedSample, Source, output_to_canvas
from data.augment.operation import BatchOp, batch_ops
from data.augment.plan import Scene
from data.augment.warp import is_upright
from data.images.letterbox import PAD_COLOUR
from data.loading.dataset import join_targets
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageMeta


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedBatch:
    """B planned samples of `image_size` pixels square; some may be blends of two scenes.

    pixels (P, 3) uint8 RGB of all windows, the first one the colour around tiles; scenes: the first
    of each sample, then the second ones; partners (B,) int64 which of these a sample is blended
    with, shares (B,) float32 how much of its first one stays, 1 without a second; ops: the pixel
    operations in their order.
    """

    image_size: int
    pixels: Tensor
    scenes: SceneTables
    partners: Tensor
    shares: Tensor
    ops: tuple[BatchOp, ...]
    targets: Targets
    metas: tuple[ImageMeta, ...]

    def __len__(self) -> int:
        return len(self.metas)

    def to(self, device: torch.device) -> "PlannedBatch":
        """Return the batch on `device` (asynchronous where the memory is pinned)."""
        moved = self._each(lambda tensor: tensor.to(device, non_blocking=True))
        return replace(moved, targets=self.targets.to(device))

    def pin_memory(self) -> "PlannedBatch":
        """Return a page-locked copy; called by torch's DataLoader."""
        return replace(self._each(Tensor.pin_memory), targets=self.targets.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> "PlannedBatch":
        return replace(
            self,
            pixels=change(self.pixels),
            scenes=self.scenes.each(change),
            partners=change(self.partners),
            shares=change(self.shares),
            ops=tuple(op.each(change) for op in self.ops),
        )

    def render(self) -> Batch:
        """Return the batch with its images, rendered on its device."""
        count, size = len(self), self.image_size
        images = render_scenes(self.scenes.part(slice(count)), self.pixels, size)
        if len(self.scenes) > count:
            seconds = render_scenes(self.scenes.part(slice(count, None)), self.pixels, size)
            blend_scenes(images, seconds, self.partners, self.shares)
        for op in self.ops:
            for part in chunks(len(op), size):
                op.apply(images, part)
        return Batch(images=images.permute(0, 3, 1, 2), targets=self.targets, metas=self.metas)


def collate_planned(samples: Sequence[PlannedSample]) -> PlannedBatch:
    """Return one batch of `samples` of one image size; ignored boxes are left out of the targets.

    Windows are copied once, into the buffer that is sent.
    """
    plans = [sample.plan for sample in samples]
    has_second = np.array([len(plan.scenes) > 1 for plan in plans])
    packed = _Packed([*_scenes(samples, 0), *_scenes(samples, 1)])
    return PlannedBatch(
        image_size=plans[0].image_size,
        pixels=torch.from_numpy(packed.pixels),
        scenes=packed.tables(),
        partners=torch.from_numpy(has_second.cumsum(dtype=np.int64).clip(1) - 1),
        shares=torch.tensor([plan.share for plan in plans], dtype=torch.float32),
        ops=batch_ops([plan.ops for plan in plans]),
        targets=join_targets(plans),
        metas=tuple(plan.meta for plan in plans),
    )


_SourcedScene = tuple[Scene, tuple[Source, ...]]


def _scenes(samples: Sequence[PlannedSample], position: int) -> Iterator[_SourcedScene]:
    """Yield scene number `position` of each sample that has so many."""
    for sample in samples:
        if position < len(sample.sources):
            yield sample.plan.scenes[position], sample.sources[position]


class _Packed:
    """Tables and pixels of scenes, filled tile by tile."""

    def __init__(self, scenes: Sequence[_SourcedScene]) -> None:
        num_tiles = max((len(sources) for _, sources in scenes), default=0)
        shape = (len(scenes), num_tiles)
        sides = [source.pixels.shape[:2] for _, sources in scenes for source in sources]
        self.pixels = np.empty((1 + sum(height * width for height, width in sides), 3), np.uint8)
        self.pixels[0] = PAD_COLOUR
        self._filled = 1
        self._matrices = np.tile(np.eye(3, dtype=np.float32), (len(scenes), 1, 1))
        self._bounds = np.zeros((*shape, 4), np.float32)
        self._regions = np.zeros((*shape, 4), np.float32)
        self._lookups = np.zeros((len(scenes), num_tiles + 1, 4), np.float32)
        self._windows = np.tile(np.array([0, 1, 1], np.int32), (len(scenes), num_tiles + 1, 1))
        placements = [tile[1] for scene, _ in scenes for tile in scene.tiles[:1]]
        self._is_upright = all(is_upright(each.matrix) for each in placements)
        for row, scene in enumerate(scenes):
            self._add(row, *scene)

    def tables(self) -> SceneTables:
        """Return the tables as tensors."""
        return SceneTables(
            matrices=torch.from_numpy(self._matrices),
            bounds=torch.from_numpy(self._bounds),
            regions=None if self._is_upright else torch.from_numpy(self._regions),
            lookups=torch.from_numpy(self._lookups),
            windows=torch.from_numpy(self._windows),
        )

    def _add(self, row: int, scene: Scene, sources: tuple[Source, ...]) -> None:
        if not sources:
            return
        self._matrices[row] = output_to_canvas(scene.tiles[0][1].matrix)
        for column, ((_, placement), source) in enumerate(zip(scene.tiles, sources, strict=True)):
            self._bounds[row, column] = placement.bounds
            self._regions[row, column] = placement.tile.region
            self._lookups[row, column + 1] = (*source.scale, *source.offset)
            self._windows[row, column + 1] = self._filled, *source.pixels.shape[1::-1]
            self._append(source)

    def _append(self, source: Source) -> None:
        shape = source.pixels.shape
        stop = self._filled + shape[0] * shape[1]
        self.pixels[self._filled : stop].reshape(shape)[:] = source.pixels
        self._filled = stop
