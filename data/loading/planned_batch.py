"""A batch for rendering on the device: source pixels in one tensor, tables, targets."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data.augment.device.scenes import SceneTables, blend_scenes, chunks, render_scenes
from data.augment.device.sources import Windows, find_windows, output_to_canvas
from data.augment.layout import Rows, Tiles, upright
from data.augment.operation import BatchOp, batch_ops
from data.augment.plan import BatchPlan, ReadIndex, SampleRow
from data.images.letterbox import PAD_COLOUR
from data.loading.dataset import SampleKey, TrainDataset, join_targets
from utils.structures.batch import Batch, Targets
from utils.structures.images import ImageArray, ImageMeta, MaskArray

IMAGES_AT_ONCE = 16
"""Images whose windows are cut together: all of a large batch would be gigabytes."""


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


def load_planned(dataset: TrainDataset, keys: Sequence[SampleKey]) -> PlannedBatch:
    """Return the batch of `keys`, of one image size, for the device to render.

    Raises:
        UserError: an image cannot be read.
    """
    return pack_batch(dataset.plan(keys), dataset.read)


def pack_batch(plan: BatchPlan, read: ReadIndex) -> PlannedBatch:
    """Return the batch of `plan` with the pixels it needs; ignored boxes are left out.

    Args:
        plan: of all its samples.
        read: gives the pixels of a record by its index.

    Raises:
        UserError: an image cannot be read.
    """
    rows = plan.rows
    has_second = np.array([row.scenes[1] - row.scenes[0] > 1 for row in rows])
    windows, cut = _cut_windows(plan.tiles, read)
    return PlannedBatch(
        image_size=plan.image_size,
        pixels=torch.from_numpy(_packed(cut)),
        scenes=_tables(plan.tiles, windows, cut, _scene_places(rows, has_second)),
        partners=torch.from_numpy(has_second.cumsum(dtype=np.int64).clip(1) - 1),
        shares=torch.tensor([row.share for row in rows], dtype=torch.float32),
        ops=batch_ops([row.ops for row in rows]),
        targets=join_targets(list(plan.sample_objects())),
        metas=tuple(row.meta for row in rows),
    )


def _cut_windows(tiles: Tiles, read: ReadIndex) -> tuple[Windows, list[ImageArray]]:
    """Return the windows of all tiles and copies of their pixels, holding few images at a time."""
    found, cut = [], []
    for start in range(0, max(len(tiles), 1), IMAGES_AT_ONCE):
        part = tiles.part(slice(start, start + IMAGES_AT_ONCE))
        images = [read(index) for index in part.index.tolist()]
        sizes = np.array([image.shape[:2] for image in images], np.float64).reshape(-1, 2)
        found.append(find_windows(part, sizes))
        cut += [window.copy() for window in found[-1].cut(images)]
    return Windows.join(found), cut


def _scene_places(rows: Sequence[SampleRow], has_second: MaskArray) -> Rows:
    """Return the place (G,) of each scene among all: first scenes of the samples, then second."""
    firsts = np.array([row.scenes[0] for row in rows])
    order = np.concatenate((firsts, firsts[has_second] + 1))
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    return places


def _packed(windows: Sequence[ImageArray]) -> ImageArray:
    """Return (P, 3) the colour around tiles and the pixels of all windows, copied once."""
    pixels = np.empty((1 + sum(map(_area, windows)), 3), np.uint8)
    pixels[0] = PAD_COLOUR
    start = 1
    for window in windows:
        stop = start + _area(window)
        pixels[start:stop].reshape(window.shape)[:] = window
        start = stop
    return pixels


def _area(window: ImageArray) -> int:
    return int(window.shape[0] * window.shape[1])


def _tables(tiles: Tiles, windows: Windows, cut: Sequence[ImageArray], places: Rows) -> SceneTables:
    """Return the tables of the scenes at their `places` (G,); `cut` are the pixels of `windows`."""
    scene = places[tiles.scene]
    tile = np.arange(len(tiles)) - np.searchsorted(tiles.scene, tiles.scene)
    count, most = len(places), int(tile.max(initial=-1)) + 1
    matrices = np.tile(np.eye(3, dtype=np.float32), (count, 1, 1))
    bounds = np.zeros((count, most, 4), np.float32)
    regions = np.zeros((count, most, 4), np.float32)
    lookups = np.zeros((count, most + 1, 4), np.float32)
    seats = np.tile(np.array([0, 1, 1], np.int32), (count, most + 1, 1))
    areas = np.array([_area(window) for window in cut], np.int64)
    matrices[scene] = output_to_canvas(tiles.matrix)
    bounds[scene, tile], regions[scene, tile] = tiles.bounds, tiles.region
    lookups[scene, tile + 1] = np.concatenate((windows.scale, windows.offset), axis=1)
    sides = windows.ends[:, 2:] - windows.ends[:, :2]
    starts = 1 + areas.cumsum() - areas
    seats[scene, tile + 1] = np.concatenate((starts[:, None], sides), axis=1)
    return SceneTables(
        matrices=torch.from_numpy(matrices),
        bounds=torch.from_numpy(bounds),
        regions=None if upright(tiles.matrix).all() else torch.from_numpy(regions),
        lookups=torch.from_numpy(lookups),
        windows=torch.from_numpy(seats),
    )
