"""A batch planned in arrays gives what one draw, one tile, one box in turn give, bit for bit."""

from collections.abc import Sequence

import cv2
import numpy as np
import pytest

from configs.schema.augment import AugmentSettings
from data.augment.layout import map_boxes, survivors
from data.augment.rng import generator
from data.images.pixels import read_record
from data.loading.dataset import SampleKey, TrainDataset
from tests.data.augment.one_by_one import (
    Layout,
    canvas_boxes,
    draw_affine,
    mosaic_four,
    mosaic_nine,
    place,
    render_tile,
    single,
)
from tests.data.synthetic.scene_files import write_scenes
from utils.structures.images import ImageArray, Record

Drawn = tuple[ImageArray, np.ndarray, np.ndarray, np.ndarray]
"""Image, boxes, labels, ignore."""


class InTurn:
    """Oracle: one sample, in which every random choice is followed by the pixels it decides."""

    def __init__(self, records: Sequence[Record], augment: AugmentSettings, seed: int) -> None:
        self.records, self.augment, self.seed = records, augment, seed

    def sample(self, key: SampleKey) -> Drawn:
        augment = self.augment
        image, boxes, labels, ignore = self.scene(key)
        shares = augment.hsv_hue, augment.hsv_saturation, augment.hsv_value
        if any(shares):
            gains = 1 + self.stream("hsv", key).uniform(-1, 1, 3) * shares
            colours = cv2.transform(cv2.cvtColor(image, cv2.COLOR_RGB2HSV), np.diag(gains))
            image = cv2.cvtColor(colours, cv2.COLOR_HSV2RGB)
        for axis, name in enumerate(("flip_horizontal", "flip_vertical")):
            if self.stream(name, key).random() < getattr(augment, name):
                image = np.flip(image, 1 - axis)
                boxes = boxes.copy()
                ends = key.image_size - boxes[:, [axis + 2, axis]]
                boxes[:, axis], boxes[:, axis + 2] = ends[:, 0], ends[:, 1]
        if self.stream("transpose", key).random() < augment.transpose:
            image, boxes = image.swapaxes(0, 1), boxes[:, [1, 0, 3, 2]]
        return image, boxes, labels, ignore

    def stream(self, name: str, key: SampleKey) -> np.random.Generator:
        return generator(self.seed, name, key.epoch, key.index, key.copy)

    def scene(self, key: SampleKey) -> Drawn:
        rng, affine = self.stream("mosaic", key), self.stream("affine", key)
        if not key.mosaic or rng.random() >= self.augment.mosaic:
            size = self.records[key.index].size
            return self.warped(single(key.index, size, key.image_size), key, affine)
        first = self.warped(self.mosaic(key.index, key.image_size, rng), key, affine)
        mixup = self.stream("mixup", key)
        if mixup.random() >= self.augment.mixup:
            return first
        partner = int(mixup.integers(len(self.records)))
        second = self.warped(self.mosaic(partner, key.image_size, rng), key, affine)
        share = mixup.beta(32.0, 32.0)
        image = cv2.addWeighted(first[0], share, second[0], 1 - share, 0)
        rows = [np.concatenate(parts) for parts in zip(first[1:], second[1:], strict=True)]
        return image, rows[0], rows[1], rows[2]

    def mosaic(self, index: int, image_size: int, rng: np.random.Generator) -> Layout:
        if rng.random() < self.augment.mosaic_nine:
            others = rng.integers(len(self.records), size=8).tolist()
            indices, lay = [*others[:4], index, *others[4:]], mosaic_nine
        else:
            others = rng.integers(len(self.records), size=3)
            indices, lay = rng.permutation([index, *others]).tolist(), mosaic_four
        return lay(indices, [self.records[i].size for i in indices], image_size, rng)

    def warped(self, layout: Layout, key: SampleKey, rng: np.random.Generator) -> Drawn:
        affine = draw_affine(self.augment, rng)
        affine = affine.snapped(layout.corner, layout.side, key.image_size)
        matrix = affine.matrix(layout.side, key.image_size)
        image = np.full((key.image_size, key.image_size, 3), 114, np.uint8)
        rows = [(np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, np.bool_))]
        for tile in layout.tiles:
            placement = place(tile, matrix, key.image_size)
            if placement is not None:
                record = self.records[tile.index]
                render_tile(image, read_record(record), placement)
                rows.append((canvas_boxes(tile, record), record.labels, record.ignore))
        before, labels, ignore = (np.concatenate(column) for column in zip(*rows, strict=True))
        after = map_boxes(before, matrix).clip(0, key.image_size)
        keep = survivors(before, after, affine.zoom**2)
        return image, after[keep], labels[keep], ignore[keep]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return write_scenes(tmp_path_factory.mktemp("scenes"), 12)


@pytest.mark.parametrize(
    "augment",
    [
        AugmentSettings(mosaic=0.8, mixup=0.5, mosaic_nine=0.3),
        AugmentSettings(mosaic=0.0, flip_vertical=0.5, transpose=0.5),
        AugmentSettings(degrees=20, shear=5, perspective=0.001, scale=0.9, mixup=1.0),
        AugmentSettings(hsv_hue=0.0, hsv_saturation=0.0, hsv_value=0.0, flip_vertical=1.0),
    ],
    ids=["upright", "single", "turned", "true colours"],
)
def test_a_plan_draws_what_drawing_in_turn_does(
    records: list[Record], augment: AugmentSettings
) -> None:
    dataset, oracle = TrainDataset(records, augment=augment, seed=3), InTurn(records, augment, 3)
    for epoch in range(2):
        for index in range(len(records)):
            key = SampleKey(
                epoch=epoch, index=index, image_size=64 + 32 * epoch, mosaic=index % 5 > 0
            )
            sample = dataset[key]
            got = sample.image, sample.boxes, sample.labels, sample.ignore
            for one, other in zip(got, oracle.sample(key), strict=True):
                assert one.dtype == other.dtype
                assert np.array_equal(one, other)
            assert sample.meta.image_id == records[index].image_id
