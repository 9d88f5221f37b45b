from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.assign import AnchorRatioAssigner
from models.heads.detect import CellDecoder
from tests.oracles import slow_matches
from utils.structures.batch import Targets
from utils.structures.predictions import Assignment, LevelAssignment, Predictions

P5_ANCHORS = (
    ((10, 13), (16, 30), (33, 23)),
    ((30, 61), (62, 45), (59, 119)),
    ((116, 90), (156, 198), (373, 326)),
)


def make_targets(boxes: Sequence[Sequence[float]], images: Sequence[int] | None = None) -> Targets:
    return Targets(
        boxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        labels=torch.zeros(len(boxes), dtype=torch.int64),
        image_index=torch.tensor(images or [0] * len(boxes), dtype=torch.int64),
    )


def around(x: float, y: float, width: float, height: float) -> list[float]:
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2]


def make_predictions(image_size: tuple[int, int], num_images: int = 1) -> Predictions:
    height, width = image_size
    return Predictions(
        levels=tuple(
            torch.zeros(num_images, 3, height // stride, width // stride, 6)
            for stride in (8, 16, 32)
        ),
        anchors=torch.tensor(P5_ANCHORS, dtype=torch.float32),
        strides=(8, 16, 32),
        decoder=CellDecoder(),
    )


def cells_of(level: LevelAssignment) -> list[tuple[int, int, int]]:
    table = torch.stack((level.anchor, level.column, level.row), dim=1)
    return [tuple(row) for row in table[level.valid].tolist()]


def assign(box: list[float], image_size: tuple[int, int] = (640, 640)) -> Assignment:
    assigner = AnchorRatioAssigner(max_ratio=4.0)
    return assigner(make_predictions(image_size), make_targets([box]))


def test_a_middling_box_gets_the_published_21_cells() -> None:
    fine, middle, coarse = (
        cells_of(level) for level in assign(around(100.3, 205.7, 30, 40)).levels
    )
    assert sorted(fine) == sorted((a, *c) for a in range(3) for c in [(12, 25), (13, 25), (12, 26)])
    assert sorted(middle) == sorted((a, *c) for a in range(3) for c in [(6, 12), (5, 12), (6, 13)])
    assert sorted(coarse) == sorted((0, *c) for c in [(3, 6), (2, 6), (3, 5)])


def test_a_box_in_the_corner_gets_only_its_own_cell() -> None:
    assignment = assign(around(3, 3, 12, 12))
    assert assignment.num_foreground.item() == 3
    assert cells_of(assignment.levels[0]) == [(0, 0, 0), (1, 0, 0), (2, 0, 0)]


def test_a_centre_on_a_grid_corner_gets_three_distinct_cells() -> None:
    coarse = assign(around(320, 320, 116, 90)).levels[2]
    assert sorted(c[1:] for c in cells_of(coarse) if c[0] == 0) == [(9, 10), (10, 9), (10, 10)]


def test_a_centre_in_the_middle_of_a_cell_has_no_neighbours() -> None:
    coarse = assign(around(336, 336, 116, 90)).levels[2]
    assert [c[1:] for c in cells_of(coarse) if c[0] == 0] == [(10, 10)]


@pytest.mark.parametrize(
    ("position", "columns"), [(8.0, {1}), (8.125, {0, 1}), (55.875, {6, 7}), (56.0, {6, 7})]
)
def test_no_neighbour_is_taken_within_one_cell_of_the_near_border(
    position: float, columns: set[int]
) -> None:
    fine = assign(around(position, 28, 12, 12), (64, 64)).levels[0]
    assert {column for _, column, _ in cells_of(fine)} == columns


@pytest.mark.parametrize("position", [0.0, 64.0, -20.0, 90.0])
def test_centres_on_or_beyond_the_border_stay_inside_without_duplicates(position: float) -> None:
    for level, count in zip(
        assign(around(position, position, 20, 20), (64, 64)).levels, (8, 4, 2), strict=True
    ):
        cells = cells_of(level)
        assert len(set(cells)) == len(cells)
        assert all(0 <= column < count and 0 <= row < count for _, column, row in cells)


def test_the_ratio_limit_is_exclusive_both_ways() -> None:
    predictions = Predictions(
        levels=(torch.zeros(1, 1, 8, 8, 6),),
        anchors=torch.tensor([[[16.0, 16.0]]]),
        strides=(8,),
        decoder=CellDecoder(),
    )
    sizes = [(4, 16), (4.25, 16), (16, 64), (16, 63.75)]
    targets = make_targets([around(28, 28, width, height) for width, height in sizes])
    level = AnchorRatioAssigner(max_ratio=4.0)(predictions, targets).levels[0]
    assert set(level.target[level.valid].tolist()) == {1, 3}


def test_no_targets_give_empty_levels() -> None:
    assignment = AnchorRatioAssigner(max_ratio=4.0)(make_predictions((64, 64)), make_targets([]))
    assert assignment.num_foreground.item() == 0
    assert all(len(level.valid) == 0 for level in assignment.levels)


def test_boxes_without_area_match_nothing() -> None:
    targets = make_targets([[9, 9, 9, 9], [3, 3, 20, 3], [20, 20, 10, 10]])
    assignment = AnchorRatioAssigner(max_ratio=4.0)(make_predictions((64, 64)), targets)
    assert assignment.num_foreground.item() == 0


def test_entries_that_do_not_count_are_zero_and_the_length_is_fixed() -> None:
    targets = make_targets([around(40, 40, 12, 12), around(20, 44, 60, 9)], [1, 1])
    for level in AnchorRatioAssigner(max_ratio=2.0)(make_predictions((64, 64), 2), targets).levels:
        for entries in (level.image, level.anchor, level.row, level.column, level.target):
            assert entries.shape == (3 * 3 * 2,)
            assert entries.dtype == torch.int64
            assert not entries[~level.valid].any()


def test_no_gradient_flows_through_the_assignment() -> None:
    predictions = make_predictions((64, 64))
    targets = make_targets([around(40, 40, 12, 12)])
    targets.boxes.requires_grad_()
    level = AnchorRatioAssigner(max_ratio=4.0)(predictions, targets).levels[0]
    assert not level.valid.requires_grad


def test_a_ratio_of_one_or_less_is_refused() -> None:
    with pytest.raises(ValueError, match="max_ratio must exceed 1, got 1"):
        AnchorRatioAssigner(max_ratio=1.0)


# Eighths of a pixel are exact in float32 at every stride, so oracle and code cannot disagree by
# rounding, and centres on grid lines and in the middle of cells are frequent.
eighths = st.integers(0, 12 * 64).map(lambda value: value / 8)
box_lists = st.lists(
    st.tuples(eighths, eighths, st.integers(0, 400), st.integers(0, 400), st.integers(0, 1)),
    max_size=6,
)


@settings(max_examples=50)
@given(rows=box_lists, max_ratio=st.sampled_from([1.5, 3.2, 4.0]))
def test_every_level_equals_the_slow_assigner(
    rows: list[tuple[float, float, int, int, int]], max_ratio: float
) -> None:
    boxes = [around(x, y, width / 4, height / 4) for x, y, width, height, _ in rows]
    images = [row[-1] for row in rows]
    predictions = make_predictions((64, 96), num_images=2)
    assigner = AnchorRatioAssigner(max_ratio=max_ratio)
    assignment = assigner(predictions, make_targets(boxes, images))
    for index, level in enumerate(assignment.levels):
        stride = predictions.strides[index]
        expected = slow_matches(
            boxes,
            images,
            predictions.anchors[index].tolist(),
            stride=stride,
            grid=(64 // stride, 96 // stride),
            max_ratio=max_ratio,
        )
        columns = (level.anchor, level.target, level.image, level.row, level.column)
        got = torch.stack(columns, dim=1)[level.valid].tolist()
        assert got == [[m.anchor, m.target, m.image, m.row, m.column] for m in expected]
