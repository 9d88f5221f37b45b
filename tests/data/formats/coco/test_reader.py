from pathlib import Path
from typing import Any

import pytest

from configs.schema.data import CocoDataset
from data.formats.coco.categories import CLASS_WITHOUT_CATEGORY, UNUSED_CATEGORY
from data.formats.coco.reader import (
    AREA_REPLACED,
    LISTED_TWICE,
    NO_BOX,
    UNKNOWN_CATEGORY,
    UNKNOWN_IMAGE,
    CocoReader,
)
from data.formats.rows import NO_AREA, NOT_FINITE, RawSplit, judge
from tests.data.formats.tiny import coco
from utils.runtime.errors import UserError

IMAGE = {"id": 3, "file_name": "a.jpg", "height": 60, "width": 80}


def box(**changes: Any) -> dict[str, Any]:
    return {"id": 1, "image_id": 3, "category_id": 0, "bbox": [1, 2, 10, 20]} | changes


def read(dataset: CocoDataset) -> RawSplit:
    reader = CocoReader(dataset, "train")
    return reader.read(reader.find())


def test_categories_are_mapped_by_name_whatever_their_ids(tmp_path: Path) -> None:
    raw = read(coco(tmp_path, [IMAGE], [box(), box(id=2, category_id=7)]))
    assert [row.label for row in raw.images[0].rows] == [0, 1]
    assert raw.category_ids == (0, 7)
    assert raw.notes == []


def test_box_is_corner_and_size_and_crowd_and_area_are_read(tmp_path: Path) -> None:
    raw = read(coco(tmp_path, [IMAGE], [box(iscrowd=1, area=33.5)]))
    (row,) = raw.images[0].rows
    assert row.box == (1, 2, 11, 22)
    assert row.ignore
    assert row.area == 33.5
    assert raw.images[0].stated_size == (60, 80)


def test_images_come_in_order_of_their_ids_and_keep_them(tmp_path: Path) -> None:
    images = [{"id": 20, "file_name": "a.jpg"}, {"id": 4, "file_name": "b.rf.1.jpg"}]
    raw = read(coco(tmp_path, images, [box(image_id=20)]))
    assert [(image.image_id, Path(image.path).name) for image in raw.images] == [
        (4, "b.rf.1.jpg"),
        (20, "a.jpg"),
    ]
    assert [len(image.rows) for image in raw.images] == [0, 1]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"bbox": [1, 2, 3]}, NO_BOX),
        ({"bbox": None}, NO_BOX),
        ({"bbox": [1, 2, "x", 4]}, NO_BOX),
        ({"bbox": [1, 2, True, 4]}, NO_BOX),
        ({"bbox": {"x": 1}}, NO_BOX),
        ({"bbox": [1, 2, 0, 4]}, NO_AREA),
        ({"bbox": [1, 2, 3, -4]}, NO_AREA),
        ({"bbox": [float("nan"), 2, 3, 4]}, NOT_FINITE),
        ({"bbox": [1, 2, 10**400, 4]}, NOT_FINITE),
        ({"category_id": 5}, UNKNOWN_CATEGORY),
        ({"category_id": None}, UNKNOWN_CATEGORY),
        ({"category_id": [1]}, UNKNOWN_CATEGORY),
    ],
)
def test_bad_annotation(tmp_path: Path, changes: dict[str, Any], fault: str) -> None:
    (image,) = read(coco(tmp_path, [IMAGE], [box(id=17, **changes)])).images
    judged = judge(image, (60, 80))
    assert [(d.location, d.reason) for d in judged.decisions] == [("annotation 17", fault)]
    assert judged.num_rejected == 1


@pytest.mark.parametrize("area", [0, -3, "x", float("nan"), float("inf")])
def test_unusable_area_is_replaced_by_the_boxs(tmp_path: Path, area: Any) -> None:
    (image,) = read(coco(tmp_path, [IMAGE], [box(area=area)])).images
    judged = judge(image, (60, 80))
    assert judged.area.tolist() == [200]
    assert [(d.reason, d.action) for d in judged.decisions] == [(AREA_REPLACED, "repaired")]


@pytest.mark.parametrize("image_id", [99, None, "x3", [3]])
def test_annotation_of_no_image_is_a_rejected_row(tmp_path: Path, image_id: Any) -> None:
    raw = read(coco(tmp_path, [IMAGE], [box(image_id=image_id)]))
    assert [(d.reason, d.action) for d in raw.stray_rows] == [(UNKNOWN_IMAGE, "rejected")]


def test_category_with_annotations_must_be_a_class(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dogs"}]
    dataset = coco(tmp_path, [IMAGE], [box(category_id=1)], categories=categories)
    with pytest.raises(UserError, match=r"train\.json: category 'dogs' has annotations.*'dog'"):
        read(dataset)


def test_unused_category_and_class_without_category_are_noted(tmp_path: Path) -> None:
    categories = [{"id": 5, "name": "animals"}, {"id": 6, "name": "cat"}]
    raw = read(coco(tmp_path, [IMAGE], [box(category_id=6)], categories=categories))
    assert [(d.value, d.reason) for d in raw.notes] == [
        ("animals", UNUSED_CATEGORY),
        ("dog", CLASS_WITHOUT_CATEGORY),
    ]
    assert raw.category_ids[0] == 6
    assert raw.category_ids[1] not in (5, 6)


def test_no_common_category(tmp_path: Path) -> None:
    dataset = coco(tmp_path, [IMAGE], [], categories=[{"id": 1, "name": "zebra"}])
    with pytest.raises(UserError, match=r"no category is in data\.class_names; the file has zebra"):
        read(dataset)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"categories": [{"id": 1.5, "name": "cat"}]}, "needs an id of its own"),
        ({"categories": [{"id": 1, "name": "cat"}, {"id": 1, "name": "dog"}]}, "of its own"),
        ({"categories": None}, "'categories' must be a list"),
        ({"annotations": {}}, "'annotations' must be a list"),
        ({"annotations": [1]}, "'annotations' must be a list of objects"),
        ({"images": []}, r"data\.train: .*train\.json lists no images"),
        ({"images": [{"id": 1.5, "file_name": "a.jpg"}]}, "every image needs an 'id'"),
        ({"images": [{"id": 1}]}, "every image needs an 'id' and a 'file_name'"),
    ],
)
def test_file_that_is_no_coco_json(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(coco(tmp_path, [IMAGE], [], **changes))


@pytest.mark.parametrize("content", ["{", "[]", "\x00", "[" * 100_000])
def test_broken_json(tmp_path: Path, content: str) -> None:
    dataset = coco(tmp_path, [IMAGE], [])
    (tmp_path / "train.json").write_text(content)
    with pytest.raises(UserError, match=r"train\.json is not (valid JSON|a COCO)"):
        read(dataset)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    dataset = coco(tmp_path, [IMAGE], [])
    (tmp_path / "train.json").unlink()
    with pytest.raises(UserError, match=r"data\.train\.annotations: .*train\.json does not exist"):
        read(dataset)
    (tmp_path / "images" / "a.jpg").unlink()
    (tmp_path / "images").rmdir()
    with pytest.raises(UserError, match=r"data\.train\.images: .*images does not exist"):
        read(dataset)


def test_image_listed_twice_is_taken_once(tmp_path: Path) -> None:
    raw = read(coco(tmp_path, [IMAGE, IMAGE], [box()]))
    assert len(raw.images) == 1
    assert [d.reason for d in raw.notes] == [LISTED_TWICE]
