from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.synthetic import CLASS_NAMES, render_scene
from data.synthetic.layout import (
    HEAD_TO_TAIL_RATIO,
    MAX_OBJECTS,
    MEAN_OBJECTS,
    MIN_VISIBLE_RATIO,
    Thing,
    arrange,
    class_probs,
    visible_box,
)
from data.synthetic.scene import paint
from data.synthetic.shapes import CLASS_OUTLINES, DISTRACTOR_OUTLINES, coverage, place_outline


def keyed(index: int) -> np.random.Generator:
    return np.random.default_rng((7, index))


def slow_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    pixels = [
        (x, y) for y, row in enumerate(mask.tolist()) for x, is_set in enumerate(row) if is_set
    ]
    xs, ys = [x for x, _ in pixels], [y for _, y in pixels]
    return min(xs), min(ys), max(xs) + 1, max(ys) + 1


@pytest.mark.parametrize("index", range(12))
def test_boxes_are_the_edges_of_the_visible_masks(index: int) -> None:
    scene = render_scene(keyed(index), side=96, num_classes=6)
    assert scene.image.dtype == np.uint8
    assert scene.masks.shape == (len(scene.boxes), *scene.image.shape[:2])
    for mask, box in zip(scene.masks, scene.boxes, strict=True):
        assert slow_box(mask) == tuple(box)
    assert scene.masks.sum(axis=0).max(initial=0) <= 1, "a pixel shows one object only"


@pytest.mark.parametrize("index", range(6))
def test_visible_is_what_the_last_painted_thing_leaves(index: int) -> None:
    things = arrange(keyed(index), (128, 128), 6)
    topmost = np.full((128, 128), -1)
    for position, thing in enumerate(things):
        topmost[thing.coverage >= 0.5] = position
    for position, thing in enumerate(things):
        np.testing.assert_array_equal(thing.visible, topmost == position)
        assert thing.visible.sum() >= MIN_VISIBLE_RATIO * (thing.coverage >= 0.5).sum()


@pytest.mark.parametrize("name", CLASS_NAMES)
def test_the_pixels_that_change_are_the_mask(name: str) -> None:
    # Drawn large over black without its shadow: what is bright is what the mask says.
    transform = np.array([(30.0, 8.0), (-8.0, 30.0)])
    outline = place_outline(CLASS_OUTLINES[name], (60.3, 47.8), transform)
    covered = coverage(outline, (100, 120))
    thing = Thing(label=0, size_px=62.0, coverage=covered, visible=covered >= 0.5)
    canvas = np.zeros((100, 120, 3), np.float32)
    paint(keyed(0), canvas, thing)
    changed = canvas.max(axis=2) > 0
    np.testing.assert_array_equal(changed, covered > 0)
    assert visible_box(thing.visible) == slow_box(covered >= 0.5)


def test_nothing_beyond_thing_and_shadow_is_repainted() -> None:
    covered = coverage(place_outline(CLASS_OUTLINES["disc"], (30, 30), np.eye(2) * 8), (200, 200))
    thing = Thing(label=0, size_px=16.0, coverage=covered, visible=covered >= 0.5)
    canvas = np.full((200, 200, 3), 128.0, np.float32)
    paint(keyed(1), canvas, thing)
    assert (canvas[40:, 40:] != 128).sum() == 0
    assert (canvas[thing.visible] != 128).any(axis=1).all()


def slow_coverage(contours: tuple[np.ndarray, ...], x: int, y: int) -> float:
    """Share of a 10 x 10 grid of points of the pixel that lie inside (even-odd)."""
    points = (np.arange(10) + 0.5) / 10
    inside = 0
    for dx in points:
        for dy in points:
            crossings = sum(
                cv2.pointPolygonTest(contour.astype(np.float32), (x + dx, y + dy), False) >= 0
                for contour in contours
            )
            inside += crossings % 2
    return inside / 100


@pytest.mark.parametrize("name", [*CLASS_OUTLINES, *DISTRACTOR_OUTLINES])
def test_coverage_matches_counting_points(name: str) -> None:
    outlines = {**CLASS_OUTLINES, **DISTRACTOR_OUTLINES}
    outline = place_outline(outlines[name], (8.2, 7.6), np.array([(6.5, 1.0), (-1.0, 6.5)]))
    covered = coverage(outline, (16, 16))
    expected = [[slow_coverage(outline, x, y) for x in range(16)] for y in range(16)]
    # cv2 fills the pixels an edge touches too, so thin shapes gain an eighth of a pixel a side.
    assert np.abs(covered - expected).max() < 0.2
    assert np.abs(covered - expected).mean() < 0.02


def test_coverage_of_a_square_on_pixel_edges_is_whole() -> None:
    square = np.array([(2.0, 3.0), (6.0, 3.0), (6.0, 5.0), (2.0, 5.0)])
    covered = coverage((square,), (8, 8))
    expected = np.zeros((8, 8))
    expected[3:5, 2:6] = 1
    np.testing.assert_array_equal(covered >= 0.5, expected > 0)
    assert covered.sum() == pytest.approx(8, rel=0.15)


def test_outlines_fit_the_unit_circle_and_differ_from_distractors() -> None:
    for outline in (*CLASS_OUTLINES.values(), *DISTRACTOR_OUTLINES.values()):
        assert max(np.linalg.norm(contour, axis=1).max() for contour in outline) <= 1.0 + 1e-9
    assert not set(CLASS_OUTLINES) & set(DISTRACTOR_OUTLINES)


def test_outline_outside_the_image_covers_nothing() -> None:
    outline = place_outline(CLASS_OUTLINES["star"], (-50, 10), np.eye(2) * 5)
    assert coverage(outline, (20, 20)).sum() == 0


@given(num_classes=st.integers(1, 6))
def test_class_probs_fall_geometrically(num_classes: int) -> None:
    probs = class_probs(num_classes)
    assert probs.sum() == pytest.approx(1)
    if num_classes > 1:
        assert probs[0] / probs[-1] == pytest.approx(HEAD_TO_TAIL_RATIO)
        np.testing.assert_allclose(probs[1:] / probs[:-1], probs[1] / probs[0])


@pytest.mark.slow
def test_objects_are_many_small_and_long_tailed() -> None:
    scenes = [
        render_scene(np.random.default_rng((0, 0, i)), side=128, num_classes=6) for i in range(400)
    ]
    counts = [len(scene.labels) for scene in scenes]
    frequency = Counter(int(label) for scene in scenes for label in scene.labels)
    ordered = [frequency[index] for index in range(6)]
    assert ordered == sorted(ordered, reverse=True)
    assert ordered[0] / ordered[-1] == pytest.approx(HEAD_TO_TAIL_RATIO, rel=0.3)
    assert ordered[-1] >= 60
    assert max(counts) <= MAX_OBJECTS
    assert np.mean(counts) == pytest.approx(MEAN_OBJECTS, rel=0.25)
    assert 2 <= counts.count(0) <= 30
    assert len({scene.image.shape for scene in scenes}) == 3
    assert {max(scene.image.shape[:2]) for scene in scenes} == {128}


@pytest.mark.slow
def test_sizes_reach_from_small_to_large() -> None:
    sizes = np.concatenate(
        [
            (scene.boxes[:, 2:] - scene.boxes[:, :2]).max(axis=1)
            for scene in (render_scene(keyed(i), side=256, num_classes=6) for i in range(200))
        ]
    )
    assert sizes.min() < 20
    assert sizes.max() > 100
    assert sizes.max() <= 0.6 * 256 * np.sqrt(2)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32), side=st.integers(64, 160), num_classes=st.integers(1, 6))
def test_every_scene_is_sound(seed: int, side: int, num_classes: int) -> None:
    scene = render_scene(np.random.default_rng(seed), side=side, num_classes=num_classes)
    again = render_scene(np.random.default_rng(seed), side=side, num_classes=num_classes)
    height, width = scene.image.shape[:2]
    assert max(height, width) == side
    assert (scene.boxes[:, :2] >= 0).all()
    assert (scene.boxes[:, 2:] <= (width, height)).all()
    assert (scene.boxes[:, 2:] > scene.boxes[:, :2]).all()
    assert ((scene.labels >= 0) & (scene.labels < num_classes)).all()
    np.testing.assert_array_equal(scene.image, again.image)
