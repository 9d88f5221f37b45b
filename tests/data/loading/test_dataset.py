from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from configs.schema.augment import AugmentSettings
from data.loading.dataset import EvalDataset, SampleKey, TrainDataset
from tests.data.synthetic.scene_files import write_scenes
from utils.runtime.errors import UserError
from utils.structures.images import Record, Sample

STRONG = AugmentSettings(
    mosaic=0.8,
    mosaic_nine=0.3,
    degrees=20,
    shear=5,
    perspective=0.001,
    flip_vertical=0.5,
    transpose=0.5,
)
TRUE_COLOURS = {"hsv_hue": 0.0, "hsv_saturation": 0.0, "hsv_value": 0.0}


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    return write_scenes(tmp_path_factory.mktemp("scenes"), 12)


def equal(a: Sample, b: Sample) -> bool:
    return (
        np.array_equal(a.image, b.image)
        and np.array_equal(a.boxes, b.boxes)
        and np.array_equal(a.labels, b.labels)
        and np.array_equal(a.ignore, b.ignore)
        and a.meta == b.meta
    )


def key(epoch: int, index: int, image_size: int = 64, mosaic: bool = True) -> SampleKey:
    return SampleKey(epoch=epoch, index=index, image_size=image_size, mosaic=mosaic)


@pytest.mark.parametrize("mixup", [0.0, 1.0])
def test_a_key_gives_one_sample(records: list[Record], mixup: float) -> None:
    augment = STRONG.model_copy(update={"mixup": mixup})
    first = TrainDataset(records, augment=augment, seed=0)
    second = TrainDataset(records, augment=augment, seed=0)
    keys = [key(epoch, index) for epoch in range(3) for index in range(12)]
    forwards = [first[k] for k in keys]
    backwards = [second[k] for k in reversed(keys)][::-1]
    assert all(equal(a, b) for a, b in zip(forwards, backwards, strict=True))
    other_seed = TrainDataset(records, augment=augment, seed=1)
    assert not any(equal(other_seed[k], sample) for k, sample in zip(keys, forwards, strict=True))
    assert not any(equal(a, b) for a, b in zip(forwards, forwards[12:], strict=False))


@pytest.mark.parametrize(
    "augment",
    [
        AugmentSettings(**TRUE_COLOURS, flip_vertical=0.5, transpose=0.5),
        AugmentSettings(**TRUE_COLOURS, flip_vertical=0.5, mosaic_nine=1.0),
        AugmentSettings(**TRUE_COLOURS, mosaic=0.0, degrees=10, flip_vertical=0.5),
        AugmentSettings(**TRUE_COLOURS, degrees=10, perspective=0.001),
    ],
    ids=["four", "nine", "single", "four turned"],
)
def test_labels_stay_with_their_objects(records: list[Record], augment: AugmentSettings) -> None:
    """The colour of a rectangle says its label: look at the middle of every box."""
    ignored = {(r.image_id, int(label)) for r in records for label in r.labels[r.ignore]}
    assert ignored
    dataset = TrainDataset(records, augment=augment, seed=0)
    seen = 0
    for epoch in range(5):
        for index in range(12):
            sample = dataset[key(epoch, index, 96)]
            assert sample.boxes.min(initial=0) >= 0
            assert sample.boxes.max(initial=0) <= 96
            sides = sample.boxes[:, 2:] - sample.boxes[:, :2]
            for box, label, side in zip(sample.boxes, sample.labels, sides, strict=True):
                # A turned object cut by the border need not reach the middle of its box.
                if side.min() > 6 and box.min() > 0 and box.max() < 96:
                    column, row = ((box[:2] + box[2:]) / 2).astype(int)
                    assert abs(int(sample.image[row, column, 0]) - 10 * label) <= 1
                    seen += 1
    assert seen > 100


def test_ignore_follows_its_box(records: list[Record]) -> None:
    still = AugmentSettings(**TRUE_COLOURS, mosaic=0, scale=0, translate=0)
    dataset = TrainDataset(records, augment=still, seed=0)
    for index, record in enumerate(records):
        sample = dataset[key(0, index, 64)]
        assert sample.labels.tolist() == record.labels.tolist()
        assert sample.ignore.tolist() == record.ignore.tolist()


def test_mosaic_needs_setting_and_key(records: list[Record]) -> None:
    """Without mosaic a sample has the labels of its own image, as far as they are in view."""

    def mixed(mosaic: float, in_key: bool, mixup: float = 1.0) -> int:
        augment = AugmentSettings(mosaic=mosaic, mixup=mixup)
        dataset = TrainDataset(records, augment=augment, seed=0)
        samples = [(i, dataset[key(0, i, mosaic=in_key)]) for i in range(12)]
        return sum(
            not set(s.labels.tolist()) <= set(records[i].labels.tolist()) for i, s in samples
        )

    assert mixed(0.0, True) == 0
    assert mixed(1.0, False) == 0
    assert mixed(1.0, True, mixup=0.0) >= 8
    assert mixed(1.0, True) >= 10


def test_own_image_is_in_its_mosaic(records: list[Record]) -> None:
    whole = AugmentSettings(**TRUE_COLOURS, scale=0, translate=0, mosaic_nine=0.5)
    dataset = TrainDataset(records[:1] + [records[3]] * 50, augment=whole, seed=0)

    def shown(index: int) -> int:
        """Times, of 50, that something bright is seen: only image 0 has objects."""
        return sum(dataset[key(e, index, 128)].image[..., 0].max() > 114 for e in range(50))

    assert shown(0) > 40
    assert shown(1) < 15
    assert dataset[key(0, 0)].meta.image_id == records[0].image_id


@pytest.mark.slow
def test_flips_happen_as_often_as_asked(records: list[Record]) -> None:
    def share(flip_horizontal: float, flip_vertical: float) -> tuple[float, float]:
        augment = AugmentSettings(
            **TRUE_COLOURS,
            mosaic=0,
            scale=0,
            translate=0,
            flip_horizontal=flip_horizontal,
            flip_vertical=flip_vertical,
        )
        dataset = TrainDataset(records, augment=augment, seed=0)
        # The first rectangle is in the upper left quarter.
        boxes = [dataset[key(epoch, 0, 64)].boxes[0] for epoch in range(200)]
        return float(np.mean([b[0] > 31 for b in boxes])), float(
            np.mean([b[1] > 31 for b in boxes])
        )

    assert share(0, 0) == (0, 0)
    assert share(1, 0) == (1, 0)
    assert share(0, 1) == (0, 1)
    assert share(0.3, 0.7) == pytest.approx((0.3, 0.7), abs=0.1)


@pytest.mark.parametrize("rectangular", [True, False])
def test_evaluation_shows_the_whole_image(records: list[Record], rectangular: bool) -> None:
    dataset = EvalDataset(records, image_size=96, stride=32, rectangular=rectangular)
    for index, record in enumerate(records):
        sample = dataset[index]
        shape = dataset.shape(index)
        assert sample.image.shape == (*shape, 3)
        assert rectangular or shape == (96, 96)
        assert len(sample.boxes) == len(record.boxes)
        back = sample.meta.to_original(torch.from_numpy(sample.boxes))
        assert np.allclose(back, record.boxes, atol=1e-3)
        assert sample.meta.image_id == record.image_id
        for box, label in zip(sample.boxes, sample.labels, strict=True):
            column, row = ((box[:2] + box[2:]) / 2).astype(int)
            assert abs(int(sample.image[row, column, 0]) - 10 * label) <= 1


def test_lost_and_changed_images_are_named(tmp_path: Path) -> None:
    records = write_scenes(tmp_path, 2)
    dataset = EvalDataset(records, image_size=64, stride=32, rectangular=True)
    cv2.imwrite(records[0].path, np.zeros((5, 7, 3), np.uint8))
    with pytest.raises(UserError, match=r"0\.png: is 5 x 7 pixels .* was 48 x 64"):
        dataset[0]
    Path(records[1].path).unlink()
    with pytest.raises(UserError, match=r"1\.png"):
        dataset[1]
