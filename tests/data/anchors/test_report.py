import pytest

from data.anchors import describe_anchors
from data.anchors.report import MAX_CLASS_ROWS, AnchorReport
from tests.data.anchors.records import PUBLISHED, record
from utils.structures.images import Record


def describe(records: list[Record], class_names: tuple[str, ...] = ("cat", "dog")) -> AnchorReport:
    return describe_anchors(records, class_names, PUBLISHED, image_size=640, max_ratio=4.0)


def test_counts_by_hand() -> None:
    # 30 x 40 matches seven anchors, 1 x 600 none, 373 x 326: P5's last three and 116 x 90 (3.6).
    report = describe(
        [record([(30, 40), (1, 600)], labels=[0, 1]), record([(373, 326)], labels=[1])]
    )
    large = [(116, 90), (156, 198), (373, 326)]
    assert report.overall.num_boxes == 3
    assert report.overall.best_possible_recall == pytest.approx(2 / 3)
    assert report.overall.anchors_per_box == pytest.approx((7 + 0 + len(large)) / 3)
    assert report.per_class["cat"].anchors_per_box == 7
    assert report.per_class["dog"].best_possible_recall == 0.5
    assert report.by_size["small"].num_boxes == 1, "1 x 600 has the area of a 24.5 px square"
    assert report.by_size["medium"].anchors_per_box == 7
    assert report.by_size["large"].num_boxes == 1


def test_size_limits_are_those_of_coco() -> None:
    by_size = describe([record([(31.9, 32), (32, 32), (95.9, 96), (96, 96)])]).by_size
    assert {name: group.num_boxes for name, group in by_size.items()} == {
        "small": 1,
        "medium": 2,
        "large": 1,
    }


def test_boxes_are_scaled_with_the_longer_side() -> None:
    # 60 x 80 of a 1280 x 720 image is 30 x 40 at 640 px; of a 320 px image it is 120 x 160.
    halved = describe([record([(60, 80)], size=(720, 1280))])
    assert halved.overall.anchors_per_box == 7
    enlarged = describe([record([(15, 20)], size=(320, 200))])
    assert enlarged.overall.anchors_per_box == 7


def test_ignored_boxes_do_not_count() -> None:
    report = describe([record([(30, 40), (1, 600)], ignore=[False, True])])
    assert report.overall.num_boxes == 1
    assert report.overall.best_possible_recall == 1


def test_text_names_sizes_and_classes_that_have_boxes() -> None:
    text = describe([record([(30, 40), (1, 600)], labels=[0, 0])]).text
    assert text.splitlines()[0] == (
        "anchors: best possible recall 50.00% of 2 boxes at 640 px; "
        "on average 3.50 anchors match each box"
    )
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["small", "medium", "cat"]


def test_many_classes_show_the_worst() -> None:
    names = tuple(f"class{index}" for index in range(30))
    sizes = [(30.0, 40.0)] * 29 + [(1.0, 600.0)]
    lines = describe([record(sizes, labels=list(range(30)))], names).lines
    classes = [line.split()[0] for line in lines if line.startswith("  class")]
    assert len(classes) == MAX_CLASS_ROWS
    assert classes[0] == "class29"
    assert lines[-1] == "  ... and 10 classes with no lower recall"


@pytest.mark.parametrize("records", [[], [record([])], [record([(5, 5)], ignore=[True])]])
def test_no_boxes_are_said(records: list[Record]) -> None:
    report = describe(records)
    assert report.lines == ("anchors: there are no boxes to compare them with",)
    assert report.overall.best_possible_recall is None
