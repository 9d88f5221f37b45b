import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from data.images.letterbox import PAD_COLOUR, fit_into, fit_size, rectangular_shape, snug_shape

SIDES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


@pytest.mark.parametrize(
    ("size", "shape", "pad"),
    [
        ((720, 1280), (384, 640), (12, 0)),
        ((427, 640), (448, 640), (10, 0)),
        ((1080, 810), (640, 480), (0, 0)),
    ],
)
def test_published_letterboxes(
    size: tuple[int, int], shape: tuple[int, int], pad: tuple[int, int]
) -> None:
    """docs/recipe_sources.md#images: the odd pixel of 640 x 427 goes to the bottom."""
    assert snug_shape(size, 640, 32) == shape
    assert fit_into(size, 640, shape).pad == pad


@pytest.mark.parametrize(
    ("size", "shape"),
    [
        ((427, 640), (448, 672)),
        ((640, 640), (672, 672)),
        ((100, 100), (672, 672)),
        ((640, 427), (672, 448)),
        ((480, 640), (512, 672)),
    ],
)
def test_published_validation_shapes(size: tuple[int, int], shape: tuple[int, int]) -> None:
    assert rectangular_shape(size, 640, 32) == shape


@given(size=SIDES, steps=st.integers(1, 40), stride=st.sampled_from([8, 16, 32, 64]))
def test_validation_shape_holds_the_image_and_a_margin(
    size: tuple[int, int], steps: int, stride: int
) -> None:
    image_size = steps * stride
    shape = rectangular_shape(size, image_size, stride)
    resized = fit_size(size, image_size)
    for side, inner, original in zip(shape, resized, size, strict=True):
        assert side % stride == 0
        exact = original * image_size / max(size)
        assert stride / 2 - 1e-6 <= side - exact < 1.5 * stride + 1e-6
        assert inner <= side
    fit_into(size, image_size, shape)


@given(size=SIDES, image_size=st.integers(1, 2000))
def test_fitted_size_is_cut_to_whole_pixels(size: tuple[int, int], image_size: int) -> None:
    for fitted, side in zip(fit_size(size, image_size), size, strict=True):
        exact = side * image_size / max(size)
        assert fitted == max(1, math.floor(exact)) or math.isclose(fitted + 1, exact)


def test_image_size_of_released_weights() -> None:
    """375 x 500 at 640 px is exactly 480 x 640; 333 x 500 is 426.24, cut to 426."""
    assert fit_size((375, 500), 640) == (480, 640)
    assert fit_size((333, 500), 640) == (426, 640)


@given(size=SIDES, data=st.data())
def test_meta_is_the_inverse(size: tuple[int, int], data: st.DataObject) -> None:
    frame = fit_into(size, 640, rectangular_shape(size, 640, 32))
    meta = frame.meta("x.jpg", 7)
    height, width = size
    x = sorted(data.draw(st.tuples(st.floats(0, width), st.floats(0, width))))
    y = sorted(data.draw(st.tuples(st.floats(0, height), st.floats(0, height))))
    boxes = torch.tensor([[x[0], y[0], x[1], y[1]]], dtype=torch.float64)
    inside = torch.from_numpy(meta.to_network(boxes.numpy()))
    assert torch.allclose(meta.to_original(inside), boxes, atol=1e-6)
    top, left = frame.pad
    bounds = torch.tensor(
        [left, top, left + frame.resized[1], top + frame.resized[0]], dtype=torch.float64
    )
    assert (inside[0, :2] >= bounds[:2] - 1e-6).all()
    assert (inside[0, 2:] <= bounds[2:] + 1e-6).all()


@pytest.mark.parametrize("size", [(60, 80), (64, 64), (300, 200), (63, 100), (1, 1), (1, 90)])
def test_pixels_lie_where_the_meta_says(size: tuple[int, int]) -> None:
    height, width = size
    image = np.zeros((height, width, 3), np.uint8)
    box = [width // 4, height // 4, max(3 * width // 4, 1), max(3 * height // 4, 1)]
    image[box[1] : box[3], box[0] : box[2]] = 255
    frame = fit_into(size, 64, (96, 96))
    framed = frame.apply(image)
    assert framed.shape == (96, 96, 3)
    assert framed.flags["C_CONTIGUOUS"]
    rows, columns = np.nonzero(framed[..., 0] > 127)
    seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    want = frame.meta("x", 0).to_network(np.array([box], np.float32))[0]
    assert want.tolist() == pytest.approx(seen, abs=1.0)
    outside = np.ones((96, 96), bool)
    (top, left), (inner_height, inner_width) = frame.pad, frame.resized
    outside[top : top + inner_height, left : left + inner_width] = False
    assert (framed[outside] == PAD_COLOUR).all()
    assert not (framed[~outside] == PAD_COLOUR).all()


def test_image_of_the_right_size_is_copied_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    framed = fit_into((48, 64), 64, (64, 96)).apply(image)
    assert np.array_equal(framed[8:56, 16:80], image)


def test_shrinking_averages() -> None:
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::4] = 200
    shrunk = fit_into((64, 64), 16, (16, 16)).apply(stripes)
    assert (shrunk == 50).all()


def test_shape_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(48, 64\) does not fit into \(32, 64\)"):
        fit_into((480, 640), 64, (32, 64))


def test_boxes_go_back_by_the_whole_pixels_of_the_padding() -> None:
    """Not by half of the padding, as is published: docs/recipe.md names both differences."""
    frame = fit_into((333, 500), 640, rectangular_shape((333, 500), 640, 32))
    image = np.zeros((333, 500, 3), np.uint8)
    framed = frame.apply(image)
    rows, columns = np.nonzero((framed == 0).all(2))
    seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float64)
    back = frame.meta("x", 0).to_original(torch.from_numpy(seen))
    assert back[0].tolist() == pytest.approx([0, 0, 500, 333], abs=1e-9)
    assert (frame.shape[0] - frame.resized[0]) % 2 == 0
    odd = fit_into((334, 500), 640, rectangular_shape((334, 500), 640, 32))
    assert ((odd.shape[0] - odd.resized[0]) / 2 - odd.pad[0], odd.pad[0]) == (0.5, 10)
    differences = (Path(__file__).parents[3] / "docs" / "recipe.md").read_text(encoding="utf-8")
    assert "48 of 205 images of COCO val2017 are 0.5 px off there" in differences
    assert "17 of 205 images differ by a pixel" in differences
