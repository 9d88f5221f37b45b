from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.formats.files import to_text
from data.formats.rows import NO_AREA, NOT_FINITE, RawImage, judge
from data.formats.yolo.reader import (
    CLASS_NOT_INTEGER,
    DECIMAL_COMMA,
    NOT_A_NUMBER,
    NOT_NORMALISED,
    SIX_BUT_NO_BOX,
    WRONG_COLUMNS,
    YoloReader,
    parse_rows,
)
from tests.data.formats.tiny import yolo


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1 0.5 0.5 0.1 0.1", ""),
        ("1.0 5e-1 .5 0.1 0.1", ""),
        ("0 0.1 0.1 0.4 0.1 0.4 0.3", ""),
        ("0 0.5 0.5 0.1", WRONG_COLUMNS),
        ("0 0.5 0.5 0.1 0.1 0.9", ""),
        ("0 0.5 0.5 0.1 0.1 17", ""),
        ("0 0.9 0.5 0.5 0.1 0.1", SIX_BUT_NO_BOX),
        ("0 0.5 0.5 0.1 0.1 0.1 0.1 0.1", WRONG_COLUMNS),
        ("0", WRONG_COLUMNS),
        ("0,0.5,0.5,0.1,0.1", DECIMAL_COMMA),
        ("0 0,5 0,5 0,1 0,1", DECIMAL_COMMA),
        ("cat 0.5 0.5 0.1 0.1", NOT_A_NUMBER),
        ("0 0.5 0.5 0.1 0.1x", NOT_A_NUMBER),
        ("0 nan 0.5 0.1 0.1", NOT_FINITE),
        ("0 0.5 0.5 inf 0.1", NOT_FINITE),
        ("nan 0.5 0.5 0.1 0.1", NOT_FINITE),
        ("0 0.1 0.1 0.4 nan 0.4 0.3", NOT_FINITE),
        ("0.5 0.5 0.5 0.1 0.1", CLASS_NOT_INTEGER),
        ("2 0.5 0.5 0.1 0.1", "class id is not in 0..1"),
        ("-1 0.5 0.5 0.1 0.1", "class id is not in 0..1"),
        ("0 0.5 0.5 0 0.1", NO_AREA),
        ("0 0.5 0.5 0.1 -0.1", NO_AREA),
        ("0 320 240 50 50", NOT_NORMALISED),
    ],
)
def test_one_line(line: str, fault: str) -> None:
    (row,) = parse_rows(line, num_classes=2)
    assert row.fault == fault
    assert row.value == line


def test_box_is_centre_and_size() -> None:
    (row,) = parse_rows("1 0.5 0.25 0.5 0.125", num_classes=2)
    assert row.box == (0.25, 0.1875, 0.75, 0.3125)
    assert row.label == 1


def test_polygon_becomes_the_box_around_it() -> None:
    (row,) = parse_rows("0 0.1 0.2 0.5 0.3 0.3 0.9 0.2 0.4", num_classes=1)
    assert row.box == (0.1, 0.2, 0.5, 0.9)


def test_line_numbers_count_blank_lines_and_every_kind_of_line_end() -> None:
    text = to_text(b"\xef\xbb\xbf0 .5 .5 .1 .1\r\n\r\n  \n0 .5 .5 .2 .2\r0 .5 .5 .3 .3")
    rows = parse_rows(text, num_classes=1)
    assert [row.location for row in rows] == ["line 1", "line 4", "line 5"]
    assert not any(row.fault for row in rows)


def test_bytes_that_are_no_text_are_rejected_rows() -> None:
    rows = parse_rows(to_text(b"\x00\xff\xfe\n0 0.5 0.5 0.1 0.1\n"), num_classes=1)
    assert [bool(row.fault) for row in rows] == [True, False]


token = st.one_of(
    st.floats().map(repr),
    st.floats(0, 1).map(repr),
    st.integers(-3, 5).map(str),
    st.integers().map(str),
    st.text(max_size=4),
)
line = st.one_of(st.lists(token, max_size=9).map(" ".join), st.text(max_size=30))


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(line, max_size=8).map("\n".join))
def test_any_text_is_read_and_every_row_accounted_for(text: str) -> None:
    text = to_text(text.encode("utf-8", "surrogatepass"))
    rows = parse_rows(text, num_classes=3)
    assert len(rows) == sum(bool(line.strip()) for line in text.split("\n"))
    image = RawImage(path="", image_id=0, rows=rows, label_file="x", is_normalised=True)
    judged = judge(image, (50, 70))
    rejected = [d for d in judged.decisions if d.action == "rejected"]
    assert len(judged.boxes) + len(rejected) == len(rows)
    assert judged.num_rejected == len(rejected)
    assert set(judged.labels.tolist()) <= {0, 1, 2}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read(content: bytes) -> None:
    parse_rows(to_text(content), num_classes=3)


def test_reader_numbers_sorted_images_and_takes_unlabelled_ones_as_background(
    tmp_path: Path,
) -> None:
    dataset = yolo(tmp_path, {"b": "0 .5 .5 .1 .1", "a": None, "c": "", "sub/d": "1 .5 .5 .1 .1"})
    reader = YoloReader(dataset, "train")
    raw = reader.read(reader.find())
    assert [Path(image.path).stem for image in raw.images] == ["a", "b", "c", "d"]
    assert [image.image_id for image in raw.images] == [0, 1, 2, 3]
    assert [len(image.rows) for image in raw.images] == [0, 1, 0, 1]
    assert [bool(image.label_file) for image in raw.images] == [False, True, True, True]
    assert raw.category_ids == (0, 1)
