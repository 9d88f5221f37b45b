"""Merging views: whole objects win over their cut parts, each object stays once."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from data.loading.framing import Framing
from data.loading.tta_tiling import BORDER_SHARE, ViewPlan
from models.inference.merge_views import merge
from utils.structures.results import Detections

Box = tuple[float, float, float, float]


def found(rows: list[tuple[Box, float, int]]) -> Detections:
    boxes, scores, labels = zip(*rows, strict=True) if rows else ((), (), ())
    return Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.int64),
    )


def merged(
    views: list[list[tuple[Box, float, int]]], cut: list[list[bool]], **changes: object
) -> tuple[Detections, bool]:
    options = {"iou_threshold": 0.5, "max_detections": 10, "class_agnostic": False, **changes}
    masks = [torch.tensor(mask, dtype=torch.bool) for mask in cut]
    return merge([found(view) for view in views], masks, **options)  # type: ignore[arg-type]


WHOLE: Box = (0, 0, 100, 50)
LEFT_HALF: Box = (0, 0, 50, 50)
RIGHT_HALF: Box = (50, 0, 100, 50)


def test_the_better_of_two_views_of_one_object_stays() -> None:
    result, _ = merged([[(WHOLE, 0.6, 0)], [((1, 0, 101, 50), 0.9, 0)]], [[False], [False]])
    assert result.boxes.tolist() == [[1, 0, 101, 50]]


def test_a_cut_part_gives_way_to_the_whole_even_if_it_scores_more() -> None:
    result, _ = merged([[(WHOLE, 0.4, 0)], [(LEFT_HALF, 0.9, 0)]], [[False], [True]])
    assert result.boxes.tolist() == [list(WHOLE)]


def test_parts_stay_where_nobody_saw_the_whole() -> None:
    result, _ = merged([[(LEFT_HALF, 0.4, 0)], [(RIGHT_HALF, 0.9, 0)]], [[True], [True]])
    assert result.boxes.tolist() == [list(RIGHT_HALF), list(LEFT_HALF)]


def test_a_box_within_another_that_no_border_cuts_stays() -> None:
    result, _ = merged([[(WHOLE, 0.9, 0)], [((0, 0, 40, 40), 0.5, 0)]], [[False], [False]])
    assert len(result) == 2


def test_a_part_of_another_class_or_of_the_same_view_stays() -> None:
    other, _ = merged([[(WHOLE, 0.9, 0)], [(LEFT_HALF, 0.5, 1)]], [[False], [True]])
    assert len(other) == 2
    agnostic, _ = merged(
        [[(WHOLE, 0.9, 0)], [(LEFT_HALF, 0.5, 1)]], [[False], [True]], class_agnostic=True
    )
    assert len(agnostic) == 1
    same_view, _ = merged([[(WHOLE, 0.9, 0), ((0, 0, 40, 50), 0.5, 0)]], [[False, True]])
    assert len(same_view) == 2


def test_limits_and_nothing() -> None:
    boxes: list[tuple[Box, float, int]] = [
        ((k * 10.0, 0, k * 10.0 + 9, 9), 0.1 * k, 0) for k in range(5)
    ]
    result, had_more = merged([boxes], [[False] * 5], max_detections=2)
    assert had_more
    assert result.scores.tolist() == pytest.approx([0.4, 0.3])
    result, had_more = merged([[], []], [[], []])
    assert (len(result), had_more) == (0, False)


def seen(plan_size: tuple[int, int], plan: ViewPlan, objects: Tensor, scores: Tensor) -> Detections:
    """Detections by an ideal detector that reports the visible part of every object."""
    parts, cut = [], []
    for number, view in enumerate(plan.views(plan_size)):
        x1, y1, x2, y2 = view.region
        low = objects.new_tensor([x1, y1, x1, y1])
        high = objects.new_tensor([x2, y2, x2, y2])
        visible = torch.minimum(torch.maximum(objects, low), high)
        size = (visible[:, 2:] - visible[:, :2]).clamp(min=0)
        kept = (size > 1).all(dim=1)
        order = scores[kept, number].argsort(descending=True)
        part = Detections(
            boxes=visible[kept][order],
            scores=scores[kept, number][order],
            labels=torch.zeros(len(order), dtype=torch.int64),
        )
        parts.append(part)
        cut.append(view.is_cut(part.boxes))
    result, _ = merge(parts, cut, iou_threshold=0.5, max_detections=1000, class_agnostic=False)
    return result


@settings(max_examples=60)
@given(
    size=st.tuples(st.integers(100, 500), st.integers(100, 500)),
    tile=st.integers(90, 200),
    overlap=st.floats(0.2, 0.6),
    seed=st.integers(0, 2**16),
)
def test_objects_not_larger_than_the_overlap_are_found_once_and_whole(
    size: tuple[int, int], tile: int, overlap: float, seed: int
) -> None:
    """Whatever the scores say; objects lie apart from each other anywhere, also on borders."""
    rng = np.random.default_rng(seed)
    # The margin in which a border counts as cutting is on both sides of a tile.
    side = int(tile * (overlap - 2 * BORDER_SHARE)) - 1
    step = side + 3
    corners = [
        (x, y)
        for y in range(0, size[0] - side, step)
        for x in range(0, size[1] - side, step)
        if rng.random() < 0.5
    ]
    extent = rng.integers(5, side + 1, (len(corners), 2))
    starts = np.array(corners, np.float32).reshape(-1, 2)
    objects = torch.from_numpy(np.concatenate([starts, starts + extent], axis=1).astype(np.float32))
    plan = ViewPlan(framing=Framing(image_size=64, stride=32), tile=tile, overlap=overlap)
    scores = torch.from_numpy(rng.random((len(objects), len(plan.views(size)))).astype(np.float32))
    result = seen(size, plan, objects, scores)
    assert sorted(result.boxes.tolist()) == sorted(objects.tolist())


def test_a_large_object_is_kept_whole_and_its_tiles_are_dropped() -> None:
    plan = ViewPlan(framing=Framing(image_size=64, stride=32), tile=100, overlap=0.2)
    objects = torch.tensor([[20.0, 30.0, 370.0, 260.0]])
    scores = torch.rand(1, len(plan.views((300, 400))), generator=torch.Generator().manual_seed(0))
    scores[0, 0] = 0.0
    assert seen((300, 400), plan, objects, scores).boxes.tolist() == objects.tolist()
