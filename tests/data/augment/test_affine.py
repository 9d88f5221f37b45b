import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from configs.schema.augment import AugmentSettings
from data.augment.layout import affine_values, draw_units, map_boxes, map_points, survivors
from tests.data.augment.one_by_one import Affine
from tests.data.augment.scenes import matrix_of

Pair = tuple[float, float]


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


def change_of(
    degrees: float = 0.0,
    zoom: float = 1.0,
    shear: Pair = (0.0, 0.0),
    perspective: Pair = (0.0, 0.0),
    shift: Pair = (0.0, 0.0),
) -> Affine:
    return Affine(
        degrees=degrees, zoom=zoom, shear_degrees=shear, perspective=perspective, shift=shift
    )


@given(
    degrees=st.floats(-180, 180),
    zoom=st.floats(0.1, 1.9),
    shear=st.tuples(st.floats(-45, 45), st.floats(-45, 45)),
    perspective=st.tuples(st.floats(-0.001, 0.001), st.floats(-0.001, 0.001)),
    shift=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    corner=st.tuples(st.integers(0, 640), st.integers(0, 640)),
    point=st.tuples(st.floats(0, 640), st.floats(0, 640)),
)
def test_matrix_equals_the_steps(
    degrees: float,
    zoom: float,
    shear: Pair,
    perspective: Pair,
    shift: Pair,
    corner: tuple[int, int],
    point: Pair,
) -> None:
    """The corner lands on the nearest whole pixels, and everything moves with it."""
    change = change_of(degrees, zoom, shear, perspective, shift)
    landing = np.array(slow_point(change, corner, 640, 320))
    assume(np.abs(landing % 1 - 0.5).min() > 1e-6)
    snap = np.round(landing) - landing
    mapped = map_points(np.array([corner, point]), matrix_of(change, 640, 320, corner))
    assert mapped[0] == pytest.approx(np.round(landing), abs=1e-6)
    want = np.array(slow_point(change, point, 640, 320)) + snap
    assert mapped[1] == pytest.approx(want, rel=1e-6, abs=1e-6)


def test_a_quarter_turn_is_counter_clockwise() -> None:
    matrix = matrix_of(change_of(degrees=90), 100, 100)
    right_of_middle = np.array([[80.0, 50.0]])
    assert map_points(right_of_middle, matrix)[0] == pytest.approx([50, 20])


def test_horizon_stays_outside_the_canvas() -> None:
    matrix = matrix_of(change_of(perspective=(0.001, -0.001)), 4000, 2000)
    corners = np.array([[0, 0], [4000, 0], [4000, 4000], [0, 4000]], float)
    divisor = corners @ matrix[2, :2] + matrix[2, 2]
    assert divisor.min() == pytest.approx(0.2)


def test_draws_fill_their_ranges_and_nothing_more() -> None:
    strengths = AugmentSettings(degrees=30, scale=0.4, shear=5, perspective=0.0004, translate=0.2)
    rng = np.random.default_rng(0)
    values = affine_values([draw_units(rng) for _ in range(2000)], strengths)
    for column, bound in enumerate((30, 0.4, 5, 5, 0.0004, 0.0004, 0.2, 0.2)):
        drawn = values[:, column]
        assert np.abs(drawn).max() <= bound
        assert drawn.min() < -0.95 * bound
        assert drawn.max() > 0.95 * bound
        assert abs(drawn.mean()) < 0.05 * bound


def test_switched_off_draws_leave_the_middle_where_it_is() -> None:
    still = AugmentSettings(scale=0, translate=0)
    values = affine_values([draw_units(np.random.default_rng(0))], still)
    assert not values.any()
    assert np.allclose(matrix_of(change_of(), 200, 100), [[1, 0, -50], [0, 1, -50], [0, 0, 1]])


@settings(max_examples=50)
@given(seed=st.integers(0, 2**16), n=st.integers(0, 5))
def test_boxes_are_the_bounds_of_their_corners(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 300, (n, 2))
    boxes = np.concatenate((corner, corner + rng.uniform(0, 100, (n, 2))), axis=1).astype("f4")
    change = change_of(
        rng.uniform(-180, 180),
        1.2,
        tuple(rng.uniform(-30, 30, 2)),
        tuple(rng.uniform(-1, 1, 2) / 1000),
    )
    matrix = matrix_of(change, 400, 200)
    mapped = map_boxes(boxes, matrix)
    assert mapped.shape == (n, 4)
    assert mapped.dtype == np.float32
    for (x1, y1, x2, y2), got in zip(boxes.tolist(), mapped, strict=True):
        corners = [
            map_points(np.array([point]), matrix)[0]
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
