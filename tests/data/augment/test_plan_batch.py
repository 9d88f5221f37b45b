"""A batch planned and drawn at once against its samples one by one: not a bit differs."""

import gc
import weakref
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.augment import AugmentSettings
from data.augment import plan as plans
from data.augment.operation import Parameters, PixelOp
from data.augment.pixel_ops import PIXEL_OPS
from data.images.pixels import ReadRecord, ShrinkingReader, shrunk_size
from data.loading.dataset import SampleKey, TrainDataset
from utils.structures.images import FloatArray, ImageArray, Record, Sample

NUM_RECORDS = 24


def crowded_and_empty() -> list[Record]:
    """Records of all shapes: most with few objects, some with none, some with hundreds."""
    rng = np.random.default_rng(0)
    records = []
    for index in range(NUM_RECORDS):
        height, width = rng.integers(3, 500, 2).tolist()
        count = int(rng.choice([0, 0, 1, 2, 7, 300]))
        ends = rng.uniform(-0.1, 1.1, (2, count, 2)) * (width, height)
        boxes = np.concatenate((ends.min(axis=0), ends.max(axis=0)), axis=1)
        records.append(
            Record(
                path=f"{index}",
                image_id=7 * index,
                size=(height, width),
                boxes=boxes.astype(np.float32),
                labels=rng.integers(0, 3, count),
                ignore=rng.random(count) < 0.2,
                area=np.ones(count, np.float32),
            )
        )
    return records


RECORDS = crowded_and_empty()
EMPTY = [record for record in RECORDS if not len(record.boxes)]


def pixels_of(records: Sequence[Record]) -> ReadRecord:
    """Return a reader of noise; every third image is kept at half its size."""
    rng = np.random.default_rng(1)
    images = {}
    for record in records:
        divisor = 2 if record.image_id % 3 == 0 else 1
        shape = (*(max(1, side // divisor) for side in record.size), 3)
        images[record.path] = rng.integers(0, 256, shape, dtype=np.uint8)
    return lambda record: images[record.path]


READ = pixels_of(RECORDS)


def assert_equal(many: Sequence[Sample], alone: Sequence[Sample]) -> None:
    assert len(many) == len(alone)
    for found, want in zip(many, alone, strict=True):
        for name in ("image", "boxes", "labels", "ignore"):
            got, expected = getattr(found, name), getattr(want, name)
            assert got.dtype == expected.dtype
            assert np.array_equal(got, expected), name
        assert found.meta == want.meta


def keys_of(epochs: Sequence[int], image_size: int, count: int = NUM_RECORDS) -> list[SampleKey]:
    """Return keys with and without mosaic, first and second appearances."""
    return [
        SampleKey(
            epoch=epoch,
            index=index,
            image_size=image_size,
            mosaic=(epoch + index) % 4 > 0,
            copy=index % 2,
        )
        for epoch in epochs
        for index in range(count)
    ]


CASES = {
    "recipe": {"flip_vertical": 0.5, "transpose": 0.5},
    "single": {"mosaic": 0.0},
    "nine or four": {"mosaic_nine": 0.5, "scale": 0.9},
    "blended": {"mosaic": 0.7, "mixup": 0.5, "mosaic_nine": 0.3},
    "turned": {"degrees": 180.0, "flip_vertical": 0.5, "transpose": 0.5},
    "sheared": {"shear": 20.0, "mixup": 1.0},
    "seen from the side": {"perspective": 0.001, "degrees": 10.0, "scale": 0.9},
    "tiny or huge": {"scale": 0.99},
    "shifted out of view": {"translate": 1.0, "scale": 0.7},
    "as they are": {"translate": 0.0, "scale": 0.0, "mosaic": 0.5},
    "colours by table": {"hsv_hue": 1.0, "hsv_saturation": 0.0},
    "no colours": {"hsv_hue": 0.0, "hsv_saturation": 0.0, "hsv_value": 0.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("strengths", CASES.values(), ids=CASES.keys())
def test_a_batch_is_its_samples(strengths: dict[str, float]) -> None:
    dataset = TrainDataset(RECORDS, augment=AugmentSettings(**strengths), seed=5, read=READ)
    for image_size in (64, 320):
        keys = keys_of([2, 3], image_size)
        assert_equal(dataset.__getitems__(keys), [dataset[key] for key in keys])


@pytest.mark.slow
@settings(max_examples=35)
@given(
    augment=st.builds(
        AugmentSettings,
        mosaic=st.sampled_from([0.0, 0.5, 1.0]),
        mosaic_nine=st.sampled_from([0.0, 0.5]),
        mixup=st.sampled_from([0.0, 0.5]),
        degrees=st.sampled_from([0.0, 3.0, 180.0]),
        translate=st.floats(0, 1),
        scale=st.floats(0, 0.99),
        shear=st.sampled_from([0.0, 10.0]),
        perspective=st.sampled_from([0.0, 0.0004]),
        flip_vertical=st.sampled_from([0.0, 0.5]),
        transpose=st.sampled_from([0.0, 0.5]),
    ),
    seed=st.integers(0, 2**62),
    epoch=st.integers(0, 1000),
    image_size=st.sampled_from([32, 64, 96, 160]),
    indices=st.lists(st.integers(0, NUM_RECORDS - 1), min_size=1, max_size=20),
)
def test_any_settings(
    augment: AugmentSettings, seed: int, epoch: int, image_size: int, indices: list[int]
) -> None:
    dataset = TrainDataset(RECORDS, augment=augment, seed=seed, read=READ)
    keys = [
        SampleKey(epoch=epoch, index=index, image_size=image_size, copy=place)
        for place, index in enumerate(indices)
    ]
    assert_equal(dataset.__getitems__(keys), [dataset[key] for key in keys])


def test_backgrounds_only() -> None:
    dataset = TrainDataset(EMPTY, augment=AugmentSettings(degrees=5), seed=0, read=READ)
    keys = keys_of([0], 64, len(EMPTY))
    many = dataset.__getitems__(keys)
    assert sum(len(sample.boxes) for sample in many) == 0
    assert_equal(many, [dataset[key] for key in keys])


def test_a_batch_does_not_depend_on_what_else_is_in_it() -> None:
    dataset = TrainDataset(RECORDS, augment=AugmentSettings(mixup=0.3), seed=1, read=READ)
    keys = keys_of([1, 2], 64)
    whole = dataset.__getitems__(keys)
    assert_equal(dataset.__getitems__(keys[::-1])[::-1], whole)
    assert_equal(dataset.__getitems__(keys[5:17]), whole[5:17])
    assert_equal(dataset.__getitems__([keys[9]]), [whole[9]])


class View(PixelOp):
    """Returns a view of the image that it is given, backwards, sometimes."""

    name = "view"

    def sample(self, rng: np.random.Generator, settings: AugmentSettings) -> Parameters | None:
        return (float(rng.normal()), float(rng.integers(3))) if rng.random() < 0.7 else None

    def apply_numpy(self, image: ImageArray, parameters: Parameters) -> ImageArray:
        image[: int(3 * parameters[1])] = int(abs(40 * parameters[0])) % 256
        return image[:, ::-1]

    def move_boxes(self, boxes: FloatArray, image_size: int, parameters: Parameters) -> FloatArray:
        return boxes + np.float32(parameters[1])


class Copy(PixelOp):
    """Returns another array, in another layout of memory."""

    name = "copy"

    def sample(self, rng: np.random.Generator, settings: AugmentSettings) -> Parameters:
        return (float(rng.integers(100)),)

    def apply_numpy(self, image: ImageArray, parameters: Parameters) -> ImageArray:
        return np.asfortranarray(image + np.uint8(parameters[0]))


@pytest.mark.parametrize("custom", [[View()], [Copy()], [View(), Copy()], [Copy(), View()]])
def test_operations_of_the_user(custom: list[PixelOp]) -> None:
    dataset = TrainDataset(
        RECORDS, augment=AugmentSettings(), seed=3, read=READ, ops=(*PIXEL_OPS, *custom)
    )
    keys = keys_of([0, 1], 64)
    assert_equal(dataset.__getitems__(keys), [dataset[key] for key in keys])


def test_images_of_a_batch_share_one_array() -> None:
    dataset = TrainDataset(RECORDS, augment=AugmentSettings(), seed=3, read=READ)
    first, second, third = (s.image for s in dataset.__getitems__(keys_of([0], 64, 3)))
    assert first.base is second.base is third.base
    assert first.base is not None
    assert first.base.shape == (3, 64, 64, 3)


@pytest.mark.parametrize("num_bytes", [1 << 19, 1 << 16, 1])
def test_few_images_are_held_at_once(monkeypatch: pytest.MonkeyPatch, num_bytes: int) -> None:
    monkeypatch.setattr(plans, "AHEAD_BYTES", num_bytes)
    opened: list[weakref.ref[ImageArray]] = []
    peaks = []

    def read(record: Record) -> ImageArray:
        image = np.zeros((*record.size, 3), np.uint8)
        opened.append(weakref.ref(image))
        alive = [each for each in (each() for each in opened) if each is not None]
        peaks.append(sum(each.nbytes for each in alive))
        return image

    augment = AugmentSettings(mosaic_nine=1.0, mixup=1.0, scale=0.9)
    dataset = TrainDataset(RECORDS, augment=augment, seed=3, read=read)
    gc.disable()
    try:
        dataset.__getitems__([SampleKey(epoch=0, index=i, image_size=64) for i in range(24)])
    finally:
        gc.enable()
    assert len(opened) > 100
    # Beside what is read ahead there is the last image that was drawn.
    largest = max(3 * height * width for height, width in (each.size for each in RECORDS))
    assert largest < max(peaks) <= num_bytes + 2 * largest


@pytest.mark.parametrize("side", [20, 160, 1000])
def test_shrunk_images_have_the_expected_size(side: int) -> None:
    reader = ShrinkingReader(side, exact=False)
    sizes = np.array([record.size for record in RECORDS], np.float64)
    want = [shrunk_size(record.size, side) for record in RECORDS]
    assert reader.sizes(sizes).tolist() == [list(map(float, size)) for size in want]
