"""The same samples drawn by a worker and by the device, on images held in memory."""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch

from configs.schema.augment import AugmentSettings
from data.augment.layout import upright
from data.augment.operation import PixelOp
from data.augment.pixel_ops import PIXEL_OPS
from data.loading.dataset import SampleKey, TrainDataset
from data.loading.planned_batch import load_planned
from utils.structures.batch import Batch
from utils.structures.images import ImageArray, Record

Paint = Callable[[int, int, int], ImageArray]
"""From height, width and number to an image."""

TRUE_COLOURS = {"hsv_hue": 0.0, "hsv_saturation": 0.0, "hsv_value": 0.0}
SIZES = ((120, 160), (160, 107), (160, 160), (75, 100), (300, 400), (94, 125))
TINY_SIZES = ((1, 1), (1, 90), (70, 1), (2, 3), (30, 31))


def waves(height: int, width: int, number: int) -> ImageArray:
    """A smooth image, which changes by at most 7 levels from pixel to pixel."""
    y, x = np.mgrid[:height, :width]
    slopes = ((26, 19), (39, -27), (-38, 35))
    channels = [127 + 110 * np.sin(number + y / a + x / b) for a, b in slopes]
    return np.stack(channels, -1).astype(np.uint8)


def photograph(height: int, width: int, number: int) -> ImageArray:
    """Structure of all sizes with fine noise, as a camera gives it."""
    rng = np.random.default_rng(number)
    image = np.zeros((height, width, 3))
    for grain, strength in ((32, 70), (12, 45), (5, 25), (1, 6)):
        coarse = rng.normal(0, strength, (height // grain + 2, width // grain + 2, 3))
        image += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(
            image.shape
        )
    return (image + 120).clip(0, 255).astype(np.uint8)


def records_of(sizes: Sequence[tuple[int, int]], boxes: int = 3) -> list[Record]:
    """Records of images of `sizes`, with up to `boxes` objects each; the first one has none."""
    rng = np.random.default_rng(7)
    records = []
    for index, (height, width) in enumerate(sizes):
        corner = rng.uniform(0, 0.7, (boxes if index else 0, 2))
        far = corner + rng.uniform(0.1, 1, corner.shape) * (1 - corner)
        rows = np.concatenate((corner * [width, height], far * [width, height]), 1)
        records.append(
            Record(
                path=str(index),
                image_id=index,
                size=(height, width),
                boxes=rows.astype(np.float32),
                labels=np.arange(len(rows)) + 10 * index,
                ignore=np.arange(len(rows)) % 3 == 2,
                area=np.ones(len(rows), np.float32),
            )
        )
    return records


def dataset_of(
    augment: AugmentSettings,
    paint: Paint,
    sizes: Sequence[tuple[int, int]] = SIZES,
    seed: int = 1,
    ops: Sequence[PixelOp] = PIXEL_OPS,
) -> TrainDataset:
    """A training data set of painted images."""
    images = {str(index): paint(*size, index) for index, size in enumerate(sizes)}
    return TrainDataset(
        records_of(sizes),
        augment=augment,
        seed=seed,
        read=lambda record: images[record.path],
        ops=ops,
    )


def keys_of(dataset: TrainDataset, image_size: int, epochs: int = 2) -> list[SampleKey]:
    """The keys of whole epochs."""
    return [
        SampleKey(epoch=epoch, index=index, image_size=image_size)
        for epoch in range(epochs)
        for index in range(len(dataset))
    ]


def drawn_both_ways(dataset: TrainDataset, keys: Sequence[SampleKey]) -> tuple[Batch, Batch]:
    """One batch by the worker, the same by the device."""
    return dataset.batch(keys), load_planned(dataset, keys).render()


def clear_of_outlines(dataset: TrainDataset, keys: Sequence[SampleKey]) -> torch.Tensor:
    """(B, S, S) where no turned tile ends within 2 pixels: a worker gives those a rim."""
    plan = dataset.plan(keys)
    is_turned = ~upright(plan.tiles.matrix)
    masks = []
    for row in plan.rows:
        mask = np.ones((plan.image_size, plan.image_size), np.uint8)
        first, stop = row.scenes
        is_own = (plan.tiles.scene >= first) & (plan.tiles.scene < stop)
        for corners in plan.tiles.corners[is_own & is_turned]:
            fixed = np.round(corners * 16).astype(np.int32)
            cv2.polylines(mask, [fixed], True, 0, thickness=5, shift=4)
        for sampled in row.ops:
            if sampled.op.name != "hsv":
                mask = sampled.apply(mask[..., None].repeat(3, axis=2))[..., 0]
        masks.append(mask)
    return torch.from_numpy(np.stack(masks)) > 0


def same_targets(first: Batch, second: Batch) -> bool:
    """Whether objects and names are the same, bit for bit."""
    a, b = first.targets, second.targets
    return (
        torch.equal(a.boxes, b.boxes)
        and torch.equal(a.labels, b.labels)
        and torch.equal(a.image_index, b.image_index)
        and first.metas == second.metas
    )


def differences(first: Batch, second: Batch) -> torch.Tensor:
    """Absolute differences of levels, (B, S, S, 3)."""
    return (first.images.int() - second.images.int()).abs().permute(0, 2, 3, 1)
