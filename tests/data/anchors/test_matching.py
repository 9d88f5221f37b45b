import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.anchors import best_possible_recall
from data.anchors.matching import anchor_fitness, matches, similarity
from tests.data.anchors.records import PUBLISHED

SIDES = st.floats(0.5, 2000)
SIZES = st.lists(st.tuples(SIDES, SIDES), max_size=12).map(
    lambda sizes: np.array(sizes, np.float64).reshape(-1, 2)
)


def slow_ratio(box: tuple[float, float], anchor: tuple[float, float]) -> float:
    """The largest of the four ratios of docs/recipe_sources.md#assignment."""
    return max(box[0] / anchor[0], anchor[0] / box[0], box[1] / anchor[1], anchor[1] / box[1])


@given(sizes_wh=SIZES, max_ratio=st.floats(1.5, 8))
def test_recall_and_fitness_match_the_oracle(sizes_wh: np.ndarray, max_ratio: float) -> None:
    anchors = [tuple(anchor) for level in PUBLISHED for anchor in level]
    best = [min(slow_ratio(tuple(box), anchor) for anchor in anchors) for box in sizes_wh]
    found = [ratio < max_ratio for ratio in best]
    worth = [1 / ratio if ratio < max_ratio else 0.0 for ratio in best]
    expected = (sum(found) / len(found), sum(worth) / len(worth)) if found else (1.0, 1.0)
    assert best_possible_recall(sizes_wh, PUBLISHED, max_ratio) == pytest.approx(expected[0])
    assert anchor_fitness(sizes_wh, PUBLISHED, max_ratio) == pytest.approx(expected[1])


@given(sizes_wh=SIZES.filter(len), max_ratio=st.floats(1.01, 8))
def test_anchors_equal_to_the_sizes_find_all(sizes_wh: np.ndarray, max_ratio: float) -> None:
    assert best_possible_recall(sizes_wh, sizes_wh[None], max_ratio) == 1
    assert anchor_fitness(sizes_wh, sizes_wh[None], max_ratio) == 1


@given(sizes_wh=SIZES, scale=st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_scale_of_both_does_not_matter(sizes_wh: np.ndarray, scale: float) -> None:
    np.testing.assert_array_equal(
        similarity(sizes_wh, PUBLISHED), similarity(sizes_wh * scale, PUBLISHED * scale)
    )


def test_the_limit_is_strict_on_each_side() -> None:
    anchor = np.array([[[10.0, 20.0]]])
    sizes_wh = np.array(
        [(40.0, 20.0), (39.9, 20.0), (2.5, 20.0), (2.6, 20.0), (10.0, 80.0), (10, 5)]
    )
    assert matches(sizes_wh, anchor, 4.0)[:, 0].tolist() == [False, True, False, True, False, False]


def test_worked_example_of_the_assignment_matches_seven_anchors() -> None:
    # docs/recipe_sources.md#assignment: 30 x 40 has 21 positives, three cells each: all anchors of
    # P3, all of P4, the first of P5.
    found = matches(np.array([(30.0, 40.0)]), PUBLISHED, 4.0)[0]
    assert found.tolist() == [True] * 7 + [False, False]


def test_a_box_of_no_size_matches_nothing() -> None:
    assert best_possible_recall(np.array([(0.0, 10.0), (0.0, 0.0)]), PUBLISHED, 4.0) == 0


def test_no_boxes_are_all_found() -> None:
    assert best_possible_recall(np.zeros((0, 2)), PUBLISHED, 4.0) == 1
    assert anchor_fitness(np.zeros((0, 2)), PUBLISHED, 4.0) == 1
    assert matches(np.zeros((0, 2)), PUBLISHED, 4.0).shape == (0, 9)
