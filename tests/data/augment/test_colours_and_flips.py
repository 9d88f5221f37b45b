import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from configs.schema.augment import AugmentSettings
from data.augment import hsv
from data.augment.flip import FlipHorizontal, FlipVertical, Transpose
from data.augment.hsv import HueSaturationValue
from data.augment.mixup import blend, draw_share
from data.augment.operation import PixelOp
from utils.structures.images import FloatArray, ImageArray

SIDE = 30
HSV = HueSaturationValue()


def picture(seed: int) -> ImageArray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def some_boxes(seed: int, n: int) -> FloatArray:
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, SIDE // 2, (n, 2))
    return np.concatenate((corner, corner + rng.integers(1, 8, (n, 2))), axis=1).astype(np.float32)


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
    HSV.apply_numpy(image, gains)
    assert np.abs(image.astype(int) - want).max() <= 2


def test_both_ways_to_change_colours_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    """By one matrix and by tables, which large changes of hue need."""
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), dtype=np.uint8)
    for gains in ((1.013, 1.6, 0.7), (0.9, 0.3, 1.4), (1.3, 1.0, 1.0), (0.0, 2.0, 0.5)):
        by_matrix, by_table = image.copy(), image.copy()
        HSV.apply_numpy(by_matrix, gains)
        with monkeypatch.context() as patch:
            patch.setattr(hsv, "_LARGEST_HUE_GAIN", -1.0)
            HSV.apply_numpy(by_table, gains)
        # Ties may be rounded either way, and a level of hue can be several of a colour.
        difference = np.abs(by_matrix.astype(int) - by_table)
        assert difference.max() <= 10
        assert (difference > 1).mean() < 0.01


def test_gains_are_drawn_around_one() -> None:
    settings = AugmentSettings(hsv_hue=0.015, hsv_saturation=0.7, hsv_value=0.0)
    rng = np.random.default_rng(0)
    gains = np.array([HSV.sample(rng, settings) for _ in range(1000)])
    assert (np.abs(gains - 1) <= [0.015, 0.7, 0.0]).all()
    assert (np.ptp(gains, axis=0) >= [0.029, 1.38, 0.0]).all()
    off = AugmentSettings(hsv_hue=0, hsv_saturation=0, hsv_value=0)
    assert HSV.sample(rng, off) is None


def test_transposed_pixels_and_boxes_move_alike() -> None:
    image, boxes = picture(0), some_boxes(0, 3)
    op = Transpose()
    turned = op.apply_numpy(image, ())
    assert all((turned[x, y] == image[y, x]).all() for y in range(SIDE) for x in range(SIDE))
    device = op.apply_torch(torch.from_numpy(image)[None], torch.zeros(1, 0))
    assert np.array_equal(device[0].numpy(), turned)
    moved = op.move_boxes(boxes, SIDE, ())
    for (x0, y0, x1, y1), (u0, v0, u1, v1) in zip(
        boxes.astype(int), moved.astype(int), strict=True
    ):
        assert np.array_equal(turned[v0:v1, u0:u1], image[y0:y1, x0:x1].swapaxes(0, 1))
    assert np.array_equal(op.move_boxes(moved, SIDE, ()), boxes)
    assert np.array_equal(op.apply_numpy(turned, ()), image)


@pytest.mark.parametrize(("share", "often"), [(0.0, 0.0), (1.0, 1.0), (0.3, 0.3)])
def test_transposed_as_often_as_set(share: float, often: float) -> None:
    rng, settings = np.random.default_rng(0), AugmentSettings(transpose=share)
    drawn = [Transpose().sample(rng, settings) is not None for _ in range(500)]
    assert np.mean(drawn) == pytest.approx(often, abs=0.06)


FLIPS = [(FlipHorizontal(), 1), (FlipVertical(), 0)]


@pytest.mark.parametrize(("flip", "axis"), FLIPS)
@given(seed=st.integers(0, 1000), n=st.integers(0, 4))
def test_flip_twice_is_nothing(flip: PixelOp, axis: int, seed: int, n: int) -> None:
    image, boxes = picture(seed), some_boxes(seed, n)
    assert np.array_equal(flip.apply_numpy(flip.apply_numpy(image.copy(), ()), ()), image)
    assert np.array_equal(flip.move_boxes(flip.move_boxes(boxes, SIDE, ()), SIDE, ()), boxes)


@pytest.mark.parametrize(("flip", "axis"), FLIPS)
def test_flip_moves_pixels_and_boxes_alike(flip: PixelOp, axis: int) -> None:
    image, boxes = picture(0), some_boxes(0, 3)
    flipped = flip.apply_numpy(image.copy(), ())
    assert np.array_equal(flipped, np.flip(image, axis))
    device = flip.apply_torch(torch.from_numpy(image)[None], torch.zeros(1, 0))
    assert np.array_equal(device[0], flipped)
    moved = flip.move_boxes(boxes, SIDE, ())
    assert not np.array_equal(moved, boxes)
    for old, new in zip(boxes.astype(int), moved.astype(int), strict=True):
        x1, y1, x2, y2 = old
        inside = image[y1:y2, x1:x2]
        x1, y1, x2, y2 = new
        assert np.array_equal(flipped[y1:y2, x1:x2], np.flip(inside, axis))


def test_blend_by_pencil() -> None:
    white, grey = np.full((4, 5, 3), 255, np.uint8), np.full((4, 5, 3), 55, np.uint8)
    assert (blend(white, grey, 0.25) == 105).all()
    assert (blend(white, grey, 1.0) == 255).all()


def test_shares_are_near_one_half() -> None:
    rng = np.random.default_rng(0)
    shares = [draw_share(rng) for _ in range(300)]
    # Beta(32, 32): mean 1/2, variance 1 / (4 * 65).
    assert np.mean(shares) == pytest.approx(0.5, abs=0.02)
    assert np.std(shares) == pytest.approx(0.062, abs=0.008)
