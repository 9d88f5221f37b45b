import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import models.assign.iou as iou_module
from models.assign import IouAssigner
from models.heads.retina import DeltaDecoder
from tests.models.assign.test_anchor_ratio import around, make_targets
from utils.structures.batch import Targets
from utils.structures.predictions import Assignment, Predictions

STRIDES = (8, 16)
ANCHORS = (((16, 16), (32, 8)), ((32, 32), (16, 48)))
Cell = tuple[int, int, int, int, int]
"""level, image, anchor, row, column"""


def make_predictions(height: int = 48, width: int = 64, num_images: int = 2) -> Predictions:
    """Two levels; the second one reaches over the border where the sides are odd multiples."""
    return Predictions(
        levels=tuple(
            torch.zeros(num_images, 2, -(-height // stride), -(-width // stride), 5)
            for stride in STRIDES
        ),
        anchors=torch.tensor(ANCHORS, dtype=torch.float32),
        strides=STRIDES,
        decoder=DeltaDecoder(),
    )


def slow_iou(box: list[float], anchor: list[float]) -> np.float32:
    """In float32 throughout, so that ties are ties here too."""
    p, q = np.asarray(box, np.float32), np.asarray(anchor, np.float32)
    sides = [min(p[i + 2], q[i + 2]) - max(p[i], q[i]) for i in (0, 1)]
    shared = max(sides[0], np.float32(0)) * max(sides[1], np.float32(0))
    area_p, area_q = ((b[2] - b[0]) * (b[3] - b[1]) for b in (p, q))
    return np.float32(shared / (area_p + area_q - shared))


def slow_assignment(
    predictions: Predictions, targets: Targets, positive: float, negative: float, rescue: bool
) -> tuple[dict[Cell, int], set[Cell]]:
    """Return the target of each matched cell and the ignored cells; one pair at a time."""
    anchor_boxes: dict[Cell, list[float]] = {}
    for level, raw in enumerate(predictions.levels):
        num_images, num_anchors, height, width, _ = raw.shape
        for cell in np.ndindex(num_images, num_anchors, height, width):
            side = ANCHORS[level][cell[1]]
            centre = [(place + 0.5) * STRIDES[level] for place in (cell[3], cell[2])]
            anchor_boxes[(level, *cell)] = around(*centre, *side)
    overlaps: dict[Cell, list[tuple[np.float32, int]]] = {cell: [] for cell in anchor_boxes}
    for index, box in enumerate(targets.boxes.tolist()):
        image = int(targets.image_index[index])
        own = {c: slow_iou(box, a) for c, a in anchor_boxes.items() if c[1] == image}
        best = max(own.values())
        for cell, overlap in own.items():
            is_best = rescue and overlap == best > 0
            overlaps[cell].append((overlap + np.float32(2) if is_best else overlap, index))
    matched: dict[Cell, int] = {}
    ignored: set[Cell] = set()
    for cell, bids in overlaps.items():
        highest = max((bid for bid, _ in bids), default=np.float32(0))
        if highest >= np.float32(positive):
            matched[cell] = min(index for bid, index in bids if bid == highest)
        elif highest >= np.float32(negative):
            ignored.add(cell)
    return matched, ignored


def as_cells(assignment: Assignment) -> tuple[dict[Cell, int], set[Cell]]:
    matched: dict[Cell, int] = {}
    ignored: set[Cell] = set()
    for number, level in enumerate(assignment.levels):
        table = torch.stack((level.image, level.anchor, level.row, level.column, level.target), 1)
        for row in table[level.valid].tolist():
            assert (number, *row[:4]) not in matched
            matched[(number, *row[:4])] = row[4]
        assert level.ignored is not None
        ignored |= {(number, *cell) for cell in level.ignored.nonzero().tolist()}
    return matched, ignored


# Eighths of a pixel are exact in float32, so that ties are ties for both.
eighths = st.integers(0, 8 * 64).map(lambda value: value / 8)
sides = st.integers(0, 8 * 60).map(lambda value: value / 8)
box_lists = st.lists(st.tuples(eighths, eighths, sides, sides, st.integers(0, 1)), max_size=5)


@settings(max_examples=40)
@given(
    rows=box_lists,
    limits=st.sampled_from([(0.5, 0.4), (0.3, 0.3), (0.7, 0.1)]),
    rescue=st.booleans(),
    step=st.sampled_from([1, 2, 100]),
)
def test_every_cell_equals_the_slow_assigner(
    rows: list[tuple[float, float, float, float, int]],
    limits: tuple[float, float],
    rescue: bool,
    step: int,
) -> None:
    boxes = [around(x, y, width, height) for x, y, width, height, _ in rows]
    targets = make_targets(boxes, [row[-1] for row in rows])
    predictions = make_predictions()
    assigner = IouAssigner(positive=limits[0], negative=limits[1], rescue=rescue)
    with pytest.MonkeyPatch.context() as patch:
        num_boxes = sum(level[0, ..., 0].numel() for level in predictions.levels)
        patch.setattr(iou_module, "LARGEST_TABLE", step * num_boxes)
        got = as_cells(assigner(predictions, targets))
    assert got == slow_assignment(predictions, targets, *limits, rescue)


def test_a_box_that_equals_an_anchor_is_matched_there_and_its_surroundings_are_ignored() -> None:
    assignment = IouAssigner(rescue=False)(
        make_predictions(), make_targets([around(28, 20, 16, 16)], [1])
    )
    matched, ignored = as_cells(assignment)
    assert matched == {(0, 1, 0, 2, 3): 0}
    assert ignored == set()
    wider = IouAssigner(negative=0.3, rescue=False)(
        make_predictions(), make_targets([around(28, 20, 16, 16)], [1])
    )
    neighbours = {(0, 1, 0, 1, 3), (0, 1, 0, 3, 3), (0, 1, 0, 2, 2), (0, 1, 0, 2, 4)}
    assert neighbours <= as_cells(wider)[1]  # half of each shared: 1/3


def test_a_small_box_has_no_match_without_rescue_and_all_its_best_with_it() -> None:
    targets = make_targets([around(20, 20, 6, 6)], [0])
    assert IouAssigner(rescue=False)(make_predictions(), targets).num_foreground == 0
    matched, _ = as_cells(IouAssigner()(make_predictions(), targets))
    # the 16 x 16 anchor of the cell it is in, which alone contains it; 32 x 8 is equal in area
    assert set(matched) == {(0, 0, 0, 2, 2), (0, 0, 1, 2, 1), (0, 0, 1, 2, 2), (0, 0, 1, 2, 3)}


def test_a_rescued_anchor_answers_for_the_target_that_has_no_other() -> None:
    large, small = around(24, 24, 30, 30), around(24, 24, 8, 8)
    for boxes in ([large, small], [small, large]):
        matched, _ = as_cells(IouAssigner()(make_predictions(), make_targets(boxes, [0, 0])))
        assert set(matched.values()) == {0, 1}


@pytest.mark.parametrize("box", [[5, 5, 5, 5], [20, 20, 10, 10], [900, 900, 950, 960]])
def test_a_box_without_area_or_beyond_every_anchor_is_not_rescued(box: list[float]) -> None:
    assignment = IouAssigner()(make_predictions(), make_targets([box]))
    assert assignment.num_foreground == 0
    assert not any(level.ignored.any() for level in assignment.levels if level.ignored is not None)


def test_no_targets_make_everything_background() -> None:
    assignment = IouAssigner()(make_predictions(), make_targets([]))
    matched, ignored = as_cells(assignment)
    assert not matched
    assert not ignored
    assert all(len(level.valid) == 0 for level in assignment.levels)  # there is no target 0


def test_entries_are_the_cells_of_the_level_and_target_0_where_nothing_matched() -> None:
    predictions = make_predictions()
    boxes = [around(900, 900, 5, 5), around(20, 20, 14, 14)]
    assignment = IouAssigner()(predictions, make_targets(boxes, [0, 1]))
    for level, raw in zip(assignment.levels, predictions.levels, strict=True):
        cells = torch.stack((level.image, level.anchor, level.row, level.column), dim=1)
        assert cells.tolist() == [list(cell) for cell in np.ndindex(*raw.shape[:4])]
        assert level.target.dtype == torch.int64
        assert not level.target[~level.valid].any()
        assert (level.target[level.valid] == 1).all()


def test_images_do_not_influence_each_other() -> None:
    boxes = [around(20, 20, 14, 14), around(40, 30, 30, 20), around(22, 21, 15, 15)]
    together, _ = as_cells(IouAssigner()(make_predictions(), make_targets(boxes, [0, 1, 1])))
    alone, _ = as_cells(IouAssigner()(make_predictions(), make_targets(boxes[1:], [1, 1])))
    assert {c: t - 1 for c, t in together.items() if c[1] == 1} == alone


@pytest.mark.parametrize(("positive", "negative"), [(0.4, 0.5), (1.1, 0.5), (0.5, 0.0)])
def test_limits_out_of_order_are_refused(positive: float, negative: float) -> None:
    with pytest.raises(ValueError, match="0 < negative <= positive <= 1"):
        IouAssigner(positive=positive, negative=negative)
