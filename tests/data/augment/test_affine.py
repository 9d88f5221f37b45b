import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.schema.augment import AugmentSettings
from data.augment.affine import Affine, draw_affine, translation
from data.augment.batch.geometry import map_boxes, map_points, survivors

Pair = tuple[float, float]

PLAIN = Affine(degrees=0, zoom=1, shear_degrees=(0, 0), perspective=(0, 0), shift=(0, 0))


def slow_point(affine: Affine, point: Pair, canvas: int, size: int) -> Pair:
    """Oracle: one point, one step after the other, no matrices."""
    x, y = point[0] - canvas / 2, point[1] - canvas / 2
    divisor = 1 + affine.perspective[0] * x + affine.perspective[1] * y
    x, y = x / divisor, y / divisor
    angle = math.radians(affine.degrees)
    # Counter-clockwise as seen: the y axis points down.
    x, y = x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)
    x, y = x * affine.zoom, y * affine.zoom
    shear_x, shear_y = (math.tan(math.radians(value)) for value in affine.shear_degrees)
    x, y = x + shear_x * y, y + shear_y * x
    return x + (0.5 + affine.shift[0]) * size, y + (0.5 + affine.shift[1]) * size


@given(
    degrees=st.floats(-180, 180),
    zoom=st.floats(0.1, 1.9),
    shear=st.tuples(st.floats(-45, 45), st.floats(-45, 45)),
    perspective=st.tuples(st.floats(-0.001, 0.001), st.floats(-0.001, 0.001)),
    shift=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    point=st.tuples(st.floats(0, 640), st.floats(0, 640)),
)
def test_matrix_equals_the_steps(
    degrees: float, zoom: float, shear: Pair, perspective: Pair, shift: Pair, point: Pair
) -> None:
    affine = Affine(
        degrees=degrees, zoom=zoom, shear_degrees=shear, perspective=perspective, shift=shift
    )
    mapped = map_points(np.array([point]), affine.matrix(640, 320))[0]
    assert mapped == pytest.approx(slow_point(affine, point, 640, 320), rel=1e-6, abs=1e-6)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    matrix = Affine(
        degrees=90, zoom=1, shear_degrees=(0, 0), perspective=(0, 0), shift=(0, 0)
    ).matrix(100, 100)
    right_of_middle = np.array([[80.0, 50.0]])
    assert map_points(right_of_middle, matrix)[0] == pytest.approx([50, 20])


def test_horizon_stays_outside_the_canvas() -> None:
    affine = Affine(
        degrees=0, zoom=1, shear_degrees=(0, 0), perspective=(0.001, -0.001), shift=(0, 0)
    )
    matrix = affine.matrix(4000, 2000)
    corners = np.array([[0, 0], [4000, 0], [4000, 4000], [0, 4000]], float)
    divisor = corners @ matrix[2, :2] + matrix[2, 2]
    assert divisor.min() == pytest.approx(0.2)


def test_draws_fill_their_ranges_and_nothing_more() -> None:
    strengths = AugmentSettings(degrees=30, scale=0.4, shear=5, perspective=0.0004, translate=0.2)
    rng = np.random.default_rng(0)
    drawn = [draw_affine(strengths, rng) for _ in range(2000)]
    for values, bound in (
        ([d.degrees for d in drawn], 30),
        ([d.zoom - 1 for d in drawn], 0.4),
        ([d.shear_degrees for d in drawn], 5),
        ([d.perspective for d in drawn], 0.0004),
        ([d.shift for d in drawn], 0.2),
    ):
        assert np.abs(values).max() <= bound
        assert np.min(values) < -0.95 * bound
        assert np.max(values) > 0.95 * bound
        assert abs(np.mean(values)) < 0.05 * bound


def test_switched_off_draws_leave_the_middle_where_it_is() -> None:
    still = AugmentSettings(scale=0, translate=0)
    affine = draw_affine(still, np.random.default_rng(0))
    assert affine == PLAIN
    assert np.allclose(affine.matrix(200, 100), translation(-50, -50))


@settings(max_examples=50)
@given(seed=st.integers(0, 2**16), n=st.integers(0, 5))
def test_boxes_are_the_bounds_of_their_corners(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 300, (n, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(0, 100, (n, 2))), axis=1).astype("f4")
    strengths = AugmentSettings(degrees=180, shear=30, perspective=0.001)
    affine = draw_affine(strengths, rng)
    mapped = map_boxes(boxes, affine.matrix(400, 200))
    assert mapped.shape == (n, 4)
    assert mapped.dtype == np.float32
    for (x1, y1, x2, y2), got in zip(boxes.tolist(), mapped, strict=True):
        corners = [
            map_points(np.array([point]), affine.matrix(400, 200))[0]
            for point in ((x1, y1), (x1, y2), (x2, y1), (x2, y2))
        ]
        want = [*np.min(corners, axis=0), *np.max(corners, axis=0)]
        assert got == pytest.approx(want, rel=1e-4, abs=1e-3)


@pytest.mark.parametrize(
    ("after", "zoom", "kept"),
    [
        ((0, 0, 20, 10), 1.0, True),
        ((0, 0, 2, 12), 1.0, False),  # no wider than 2 px
        ((0, 0, 2.1, 12), 1.0, True),
        ((0, 0, 12, 2), 1.0, False),
        ((0, 0, 3, 6.6), 1.0, False),  # 19.8 of 200 square px: no more than a tenth
        ((0, 0, 3, 6.7), 1.0, True),
        ((0, 0, 3, 6.6), 0.5, True),  # the scene became smaller as a whole
        ((0, 0, 10, 7.9), 2.0, False),
        ((0, 0, 10, 8.1), 2.0, True),
        ((0, 0, 250, 2.5), 1.0, False),  # a hundred times longer than wide
        ((0, 0, 249, 2.5), 1.0, True),
        ((5, 5, 5, 5), 1.0, False),
    ],
)
def test_rule_for_keeping_boxes(after: tuple[float, ...], zoom: float, kept: bool) -> None:
    before = np.array([[0, 0, 20, 10]], np.float32)
    assert survivors(before, np.array([after], np.float32), zoom**2).tolist() == [kept]


def test_no_boxes_survive_of_none() -> None:
    empty = np.zeros((0, 4), np.float32)
    assert survivors(empty, empty, 1.0).shape == (0,)


@pytest.mark.parametrize("degrees", [0.0, 33.0])
@given(
    zoom=st.floats(0.5, 1.5),
    shift=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    point=st.tuples(st.integers(0, 640), st.integers(0, 640)),
)
def test_a_snapped_point_lands_on_whole_pixels_nearby(
    degrees: float, zoom: float, shift: tuple[float, float], point: tuple[int, int]
) -> None:
    drawn = Affine(
        degrees=degrees, zoom=zoom, shear_degrees=(0, 0), perspective=(0, 0), shift=shift
    )
    before = slow_point(drawn, point, 640, 320)
    after = slow_point(drawn.snapped(point, 640, 320), point, 640, 320)
    assert np.abs(np.subtract(after, np.round(after))).max() < 1e-6
    assert np.abs(np.subtract(after, before)).max() <= 0.5 + 1e-6
