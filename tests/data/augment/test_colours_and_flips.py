from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.augment import AugmentSettings
from data.augment import hsv
from data.augment.flip import flip_horizontal, flip_vertical
from data.augment.hsv import change_colours, draw_gains
from data.augment.mixup import mixup
from utils.structures.images import ImageMeta, Sample

META = ImageMeta(path="x", image_id=0, original_size=(1, 1), scale=(1.0, 1.0), pad=(0, 0))


def sample(seed: int = 0, height: int = 20, width: int = 30, n: int = 3) -> Sample:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, [width // 2, height // 2], (n, 2))
    boxes = np.concatenate((corner, corner + rng.integers(1, 8, (n, 2))), axis=1)
    return Sample(
        image=rng.integers(0, 256, (height, width, 3), dtype=np.uint8),
        boxes=boxes.astype(np.float32),
        labels=rng.integers(0, 80, n),
        ignore=rng.random(n) < 0.5,
        meta=META,
    )


@pytest.mark.parametrize(
    ("colour", "gains", "want"),
    [
        ((200, 100, 50), (1.0, 1.0, 1.0), (200, 100, 50)),
        ((200, 100, 50), (1.0, 0.0, 1.0), (200, 200, 200)),  # no saturation: grey of the brightest
        ((200, 100, 50), (1.0, 1.0, 0.5), (100, 50, 25)),
        ((200, 100, 50), (1.0, 1.0, 2.0), (255, 128, 64)),  # brightness stops at 255
        ((200, 100, 100), (1.0, 2.0, 1.0), (200, 0, 0)),
        ((200, 0, 0), (1.5, 1.0, 1.0), (200, 0, 0)),  # red has hue 0
        ((0, 200, 0), (1.5, 1.0, 1.0), (0, 200, 200)),  # 120 degrees times 1.5: cyan
        ((0, 0, 200), (2.0, 1.0, 1.0), (0, 200, 0)),  # 240 degrees times 2 is 480: green
    ],
)
def test_colours_by_pencil(colour: tuple[int, ...], gains: tuple[float, ...], want) -> None:  # noqa: ANN001
    image = np.full((4, 5, 3), colour, np.uint8)
    change_colours(image, gains)  # type: ignore[arg-type]
    assert np.abs(image.astype(int) - want).max() <= 2


def test_both_ways_to_change_colours_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """By one matrix and by tables, which large changes of hue need."""
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    for gains in ((1.013, 1.6, 0.7), (0.9, 0.3, 1.4), (1.3, 1.0, 1.0), (0.0, 2.0, 0.5)):
        by_matrix, by_table = image.copy(), image.copy()
        change_colours(by_matrix, gains)
        with monkeypatch.context() as patch:
            patch.setattr(hsv, "_LARGEST_HUE_GAIN", -1.0)
            change_colours(by_table, gains)
        # Ties may be rounded either way, and a level of hue can be several of a colour.
        difference = np.abs(by_matrix.astype(int) - by_table)
        assert difference.max() <= 10
        assert (difference > 1).mean() < 0.01


def test_gains_are_drawn_around_one() -> None:
    settings = AugmentSettings(hsv_hue=0.015, hsv_saturation=0.7, hsv_value=0.0)
    rng = np.random.default_rng(0)
    gains = np.array([draw_gains(settings, rng) for _ in range(1000)])
    assert (np.abs(gains - 1) <= [0.015, 0.7, 0.0]).all()
    assert (np.ptp(gains, axis=0) >= [0.029, 1.38, 0.0]).all()
    off = AugmentSettings(hsv_hue=0, hsv_saturation=0, hsv_value=0)
    assert draw_gains(off, rng) is None


@pytest.mark.parametrize("flip", [flip_horizontal, flip_vertical])
@given(seed=st.integers(0, 1000), n=st.integers(0, 4))
def test_flip_twice_is_nothing(flip, seed: int, n: int) -> None:  # noqa: ANN001
    before = sample(seed, n=n)
    after = flip(flip(before))
    assert np.array_equal(after.image, before.image)
    assert np.array_equal(after.boxes, before.boxes)


@pytest.mark.parametrize(
    ("flip", "axis"), [(flip_horizontal, 1), (flip_vertical, 0)], ids=["horizontal", "vertical"]
)
def test_flip_moves_pixels_and_boxes_alike(flip, axis: int) -> None:  # noqa: ANN001
    before = sample()
    after = flip(before)
    assert np.array_equal(after.image, np.flip(before.image, axis))
    for old, new in zip(before.boxes.astype(int), after.boxes.astype(int), strict=True):
        x1, y1, x2, y2 = old
        inside = before.image[y1:y2, x1:x2]
        x1, y1, x2, y2 = new
        assert np.array_equal(after.image[y1:y2, x1:x2], np.flip(inside, axis))
    assert np.array_equal(after.labels, before.labels)
    assert np.array_equal(after.ignore, before.ignore)


def test_mixup_blends_pixels_and_keeps_all_labels() -> None:
    first, second = sample(1), sample(2, n=2)
    grey = replace(first, image=np.full_like(first.image, 55))
    white = replace(second, image=np.full_like(second.image, 255))
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(300):
        blend = mixup(white, grey, rng)
        assert len(np.unique(blend.image)) == 1
        shares.append((blend.image[0, 0, 0] - 55.0) / 200)
    # Beta(32, 32): mean 1/2, variance 1 / (4 * 65).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
    assert np.std(shares) == pytest.approx(0.062, abs=0.008)
    assert np.array_equal(blend.boxes, np.concatenate((second.boxes, first.boxes)))
    assert np.array_equal(blend.labels, np.concatenate((second.labels, first.labels)))
    assert np.array_equal(blend.ignore, np.concatenate((second.ignore, first.ignore)))
    assert blend.meta is white.meta
