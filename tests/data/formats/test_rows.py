import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats.rows import (
    CLIPPED,
    CUT,
    DUPLICATE,
    IMAGE_LEFT_OUT,
    MOSTLY_OUT,
    NO_AREA,
    NOT_FINITE,
    OUTSIDE,
    TOO_FAR_OUT,
    BorderPolicy,
    RawImage,
    RawRow,
    judge,
    reject_all,
)

SIZE = (60, 80)
Box = tuple[float, float, float, float]


def image(*rows: RawRow, is_normalised: bool = False) -> RawImage:
    return RawImage(
        path="x.jpg", image_id=0, rows=rows, label_file="x.txt", is_normalised=is_normalised
    )


def rows_of(*boxes: Box) -> list[RawRow]:
    return [RawRow(f"line {index}", "raw", box=box) for index, box in enumerate(boxes, start=1)]


@pytest.mark.parametrize(
    ("box", "reason", "action"),
    [
        ((0, 0, 80, 60), None, None),
        ((-1, 0, 80, 60), CLIPPED, "repaired"),
        ((10, 10, 80.999, 60.5), CLIPPED, "repaired"),
        ((0, 0, 80.005, 60), None, None),
        ((-1.01, 0, 80, 60), CUT, "repaired"),
        ((10, 10, 20, 61.5), CUT, "repaired"),
        ((-7, 0, 3, 10), CUT, "repaired"),
        ((-7.1, 0, 2.9, 10), MOSTLY_OUT, "rejected"),
        ((75, 50, 90, 70), MOSTLY_OUT, "rejected"),
        ((80, 0, 80.5, 10), OUTSIDE, "rejected"),
        ((-0.5, 0, 0, 10), OUTSIDE, "rejected"),
        ((200, 0, 300, 10), OUTSIDE, "rejected"),
        ((5, -30, 10, -20), OUTSIDE, "rejected"),
        ((10, 10, 10, 20), NO_AREA, "rejected"),
        ((10, 20, 20, 10), NO_AREA, "rejected"),
        ((79, 10, 79.0000001, 20), NO_AREA, "rejected"),
        ((math.nan, 0, 1, 1), NOT_FINITE, "rejected"),
        ((0, 0, math.inf, 1), NOT_FINITE, "rejected"),
    ],
)
def test_one_box(box: Box, reason: str | None, action: str | None) -> None:
    judged = judge(image(*rows_of(box)), SIZE)
    assert [(d.reason, d.action) for d in judged.decisions] == (
        [(reason, action)] if reason else []
    )
    assert len(judged.boxes) == (action != "rejected")
    assert judged.num_rejected == (action == "rejected")


@pytest.mark.parametrize(
    ("policy", "reasons", "ignore"),
    [
        (BorderPolicy("clip", 0.3), [CUT, MOSTLY_OUT], [False]),
        (BorderPolicy("clip", 0.0), [CUT, CUT], [False, False]),
        (BorderPolicy("clip", 0.8), [MOSTLY_OUT, MOSTLY_OUT], []),
        (BorderPolicy("ignore", 0.3), [CUT, CUT], [False, True]),
        (BorderPolicy("reject", 0.3), [TOO_FAR_OUT, TOO_FAR_OUT], []),
    ],
)
def test_policies_for_the_border(
    policy: BorderPolicy, reasons: list[str], ignore: list[bool]
) -> None:
    judged = judge(image(*rows_of((-5, 0, 15, 10), (-9, 0, 1, 10))), SIZE, policy)
    assert [decision.reason for decision in judged.decisions] == reasons
    assert judged.ignore.tolist() == ignore
    assert judged.num_rejected == 2 - len(ignore)
    assert [box[0] for box in judged.boxes.tolist()] == [0.0] * len(ignore)


def test_clipped_box_and_decision() -> None:
    judged = judge(image(*rows_of((-0.5, 10, 20, 60.25))), SIZE)
    assert judged.boxes.tolist() == [[0, 10, 20, 60]]
    assert judged.area.tolist() == [1000]
    (decision,) = judged.decisions
    assert (decision.file, decision.location, decision.value) == ("x.txt", "line 1", "raw")


def test_bad_rows_go_and_good_rows_stay_in_order() -> None:
    boxes = (0.0, 0.0, 5.0, 5.0), (1.0, 1.0, 1.0, 9.0), (2.0, 2.0, 7.0, 7.0)
    rows = [row._replace(label=label) for label, row in enumerate(rows_of(*boxes))]
    judged = judge(image(*rows), SIZE)
    assert judged.labels.tolist() == [0, 2]
    assert judged.boxes[:, 0].tolist() == [0, 2]


def test_parsing_fault_wins_over_geometry() -> None:
    judged = judge(image(RawRow("line 1", "x", fault="not a number")), SIZE)
    assert [d.reason for d in judged.decisions] == ["not a number"]


def test_duplicate_needs_same_box_class_and_kind() -> None:
    row = RawRow("line 1", "", box=(1, 1, 9, 9))
    judged = judge(image(row, row, row._replace(label=1), row._replace(ignore=True), row), SIZE)
    assert len(judged.boxes) == 3
    assert [(d.reason, d.action) for d in judged.decisions] == [(DUPLICATE, "repaired")] * 2
    assert (judged.num_dropped, judged.num_rejected) == (2, 0)


def test_rejected_row_is_no_original_of_a_duplicate() -> None:
    row = RawRow("line 1", "", box=(1, 1, 9, 9))
    judged = judge(image(row._replace(fault="broken"), row), SIZE)
    assert len(judged.boxes) == 1


def test_normalised_boxes_scale_with_width_and_height() -> None:
    judged = judge(image(*rows_of((0.25, 0.5, 0.5, 1.0)), is_normalised=True), SIZE)
    assert judged.boxes.tolist() == [[20, 30, 40, 60]]


def test_stated_area_is_kept_and_missing_area_is_the_boxs() -> None:
    rows = rows_of((0, 0, 10, 10), (0, 0, 5, 4))
    judged = judge(image(rows[0]._replace(area=7.5), rows[1]), SIZE)
    assert judged.area.tolist() == [7.5, 20]


def test_repairs_of_reader_and_judge_are_one_decision() -> None:
    (row,) = rows_of((-0.5, 0, 10, 10))
    (decision,) = judge(image(row._replace(repair="area replaced")), SIZE).decisions
    assert decision.reason == f"area replaced; {CLIPPED}"
    assert decision.action == "repaired"


def test_no_rows() -> None:
    judged = judge(image(), SIZE)
    assert judged.boxes.shape == (0, 4)
    assert judged.decisions == ()


def test_all_rows_of_an_unusable_image_are_rejected() -> None:
    judged = reject_all(image(*rows_of((0, 0, 5, 5), (0, 0, 6, 6))))
    assert judged.num_rejected == 2
    assert len(judged.boxes) == 0
    assert {d.reason for d in judged.decisions} == {IMAGE_LEFT_OUT}


def slow_verdict(box: Box) -> str:
    """Oracle: one box, plain Python; "" keeps it."""
    height, width = SIZE
    x1, y1, x2, y2 = box
    if not all(map(math.isfinite, box)):
        return NOT_FINITE
    if x1 >= x2 or y1 >= y2:
        return NO_AREA
    if x2 <= 0 or y2 <= 0 or x1 >= width or y1 >= height:
        return OUTSIDE
    if x1 < -1 or y1 < -1 or x2 > width + 1 or y2 > height + 1:
        inside = (min(x2, width) - max(x1, 0)) * (min(y2, height) - max(y1, 0))
        return MOSTLY_OUT if inside < 0.3 * ((x2 - x1) * (y2 - y1)) else ""
    return ""


coordinate = st.one_of(
    st.integers(-3, 85).map(float), st.floats(allow_nan=True, allow_infinity=True)
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(coordinate, coordinate, coordinate, coordinate), max_size=6))
def test_verdicts_match_the_oracle_and_rows_add_up(boxes: list[Box]) -> None:
    judged = judge(image(*rows_of(*boxes)), SIZE)
    assert len(judged.boxes) + judged.num_rejected + judged.num_dropped == len(boxes)
    reasons = {d.location: d.reason for d in judged.decisions if d.action == "rejected"}
    assert len(reasons) == judged.num_rejected
    for number, box in enumerate(boxes, start=1):
        reason = reasons.get(f"line {number}", "")
        # What is thinner than float32 can hold is beyond the oracle.
        assert reason == slow_verdict(box) or (not slow_verdict(box) and reason == NO_AREA)
    assert (judged.boxes[:, 2:] > judged.boxes[:, :2]).all()
    assert (judged.boxes >= 0).all()
    assert (judged.boxes <= np.array([80, 60, 80, 60])).all()
    assert (judged.area >= 0).all()
