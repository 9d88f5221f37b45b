"""Rules of rows, classes and splits on data that is made on the spot."""

import json
import zipfile
from pathlib import Path

import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from configs.reading.load import load_dataset
from configs.schema.data import ClassChanges
from data.intake.archive import unpack
from data.intake.resolve import look_at
from data.records.load import load_split
from tests.data.formats.tiny import coco, write_image, yolo
from tests.data.intake.exports import labelme, voc_xml
from utils.runtime.errors import UserError

ROW = "0 .5 .5 .25 .5\n"
BOX = [30, 15, 50, 45]


def test_ids_from_one_are_refused_however_rare(tmp_path: Path) -> None:
    labels = {"a": "1 .5 .5 .25 .5\n" * 1, "b": "2 .5 .5 .25 .5\n", "c": "1 .4 .5 .25 .5\n"}
    dataset = yolo(tmp_path, labels, max_rejected=1.0)
    with pytest.raises(UserError, match=r"ids count from 1.*first_class=1"):
        load_split(dataset, "train").report.require_usable(1.0)
    shifted = dataset.model_copy(update={"first_class": 1})
    assert [r.labels.tolist() for r in load_split(shifted, "train").records] == [[0], [1], [0]]


@pytest.mark.parametrize("row", ["0 .5 .5 .25 .5 .93\n", "0 .5 .5 .25 .5 17\n"])
def test_a_sixth_column_is_not_used(tmp_path: Path, row: str) -> None:
    split = load_split(yolo(tmp_path, {"a": row}), "train")
    assert split.records[0].boxes.tolist() == [BOX]


@pytest.mark.parametrize("points", [".5 .5 .45 .6", ".5 .5 2 .45 .6 1", ".5 .5 2 0 0 0"])
def test_keypoints_are_no_polygon(tmp_path: Path, points: str) -> None:
    rows = {name: f"0 .5 .5 .25 .5 {points}\n" for name in "abc"}
    for record in load_split(yolo(tmp_path, rows), "train").records:
        assert record.boxes.tolist() == [BOX]


@pytest.mark.parametrize("size", [(80, 60), (160, 120), (40, 30)])
def test_boxes_of_a_resized_image_are_scaled(tmp_path: Path, size: tuple[int, int]) -> None:
    scale = size[0] / 80
    x1, y1, x2, y2 = (value * scale for value in BOX)
    image = {"id": 1, "file_name": "a.jpg", "width": size[0], "height": size[1]}
    row = {"id": 1, "image_id": 1, "category_id": 0, "bbox": [x1, y1, x2 - x1, y2 - y1]}
    (record,) = load_split(coco(tmp_path, [image], [row]), "train").records
    assert record.boxes.tolist() == [BOX]


def test_boxes_of_another_shape_are_refused(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": 200, "height": 60}
    row = {"id": 1, "image_id": 1, "category_id": 0, "bbox": [1, 1, 20, 20]}
    with pytest.raises(UserError, match="other proportions"):
        load_split(coco(tmp_path, [image], [row]), "train").report.require_usable(0.01)


def test_corners_in_place_of_sizes_are_asked_for(tmp_path: Path) -> None:
    image = {"id": 1, "file_name": "a.jpg", "width": 80, "height": 60}
    rows = [
        {"id": n, "image_id": 1, "category_id": 0, "bbox": [40 + n, 30, 70 + n, 55]}
        for n in range(5)
    ]
    dataset = coco(tmp_path, [image], rows)
    with pytest.raises(UserError, match=r"data\.boxes=xywh"):
        load_split(dataset, "train")
    stated = dataset.model_copy(update={"boxes": "xyxy"})
    assert load_split(stated, "train").records[0].boxes[0].tolist() == [40, 30, 70, 55]


def test_classes_are_left_out_merged_and_renamed(tmp_path: Path) -> None:
    dataset = yolo(tmp_path, {"a": ROW + "1 .5 .5 .5 .5\n"})
    left = dataset.model_copy(update={"classes": ClassChanges(leave_out=("cat",))})
    split = load_split(left, "train")
    assert (split.class_names, split.records[0].labels.tolist()) == (("dog",), [0])
    assert (split.report.num_rows, split.report.num_dropped, split.report.num_rejected) == (2, 1, 0)
    merged = dataset.model_copy(update={"classes": ClassChanges(merge={"pet": ("cat", "dog")})})
    split = load_split(merged, "train")
    assert (split.class_names, split.records[0].labels.tolist()) == (("pet",), [0, 0])
    with pytest.raises(UserError, match="'cow'"):
        load_split(
            dataset.model_copy(update={"classes": ClassChanges(leave_out=("cow",))}), "train"
        )


def test_a_share_keeps_copies_of_an_original_together(tmp_path: Path) -> None:
    names = [f"im{n}_jpg.rf.{copy:032x}" for n in range(20) for copy in range(3)]
    dataset = yolo(tmp_path, dict.fromkeys(names, ROW), val=0.3)
    parts = [
        {Path(record.path).name.split(".rf.")[0] for record in load_split(dataset, name).records}
        for name in ("train", "val")
    ]
    assert parts[0] & parts[1] == set()
    assert len(parts[0] | parts[1]) == 20
    assert 1 <= len(parts[1]) <= 12


def test_two_readings_ask_for_one_key(tmp_path: Path) -> None:
    labelme(tmp_path)
    (tmp_path / "v1.xml").write_text(voc_xml("v1", [("cat", (10, 12, 50, 40))]))
    with pytest.raises(UserError, match=r"data\.layout=voc.*data\.layout=labelme"):
        look_at(load_dataset(str(tmp_path)))
    found = look_at(load_dataset(str(tmp_path), ["data.layout=labelme"]))
    assert found.dataset.model_dump()["format"] == "labelme"


@pytest.mark.parametrize("name", ["../out.txt", "/abs.txt", "a/../../out.txt", "C:/x.txt"])
def test_an_archive_never_writes_outside(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as file:
        file.writestr(name, "x")
    with pytest.raises(UserError, match="a path out of its folder"):
        unpack(tmp_path / "x.zip")


def test_stated_names_in_another_order_than_classes_txt(tmp_path: Path) -> None:
    dataset = yolo(tmp_path, {"a": ROW})
    (tmp_path / "classes.txt").write_text("dog\ncat\n")
    with pytest.raises(UserError, match="another order"):
        load_split(dataset, "train")


def test_a_json_of_results_is_no_data_set(tmp_path: Path) -> None:
    write_image(tmp_path / "a.jpg")
    (tmp_path / "r.json").write_text(json.dumps([{"image_id": 1}]))
    with pytest.raises(UserError, match="not recognised"):
        look_at(load_dataset(str(tmp_path / "r.json")))


def test_detections_of_a_grouped_class_get_the_id_of_its_annotations(tmp_path: Path) -> None:
    """Roboflow writes one class as two categories of one name; annotations use the second."""
    write_image(tmp_path / "a.jpg")
    document = {
        "images": [{"id": 5, "file_name": "a.jpg", "width": 80, "height": 60}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 1, "bbox": [4, 6, 20, 30], "area": 600}
            | {"iscrowd": 0}
        ],
        "categories": [
            {"id": 0, "name": "cell", "supercategory": "none"},
            {"id": 1, "name": "cell", "supercategory": "cell"},
        ],
    }
    (tmp_path / "_annotations.coco.json").write_text(json.dumps(document))
    split = load_split(look_at(load_dataset(str(tmp_path))).dataset, "train")
    (record,) = split.records
    x1, y1, x2, y2 = map(float, record.boxes[0])
    found = {
        "image_id": record.image_id,
        "category_id": split.category_ids[int(record.labels[0])],
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "score": 0.9,
    }
    truth = COCO(str(tmp_path / "_annotations.coco.json"))
    judge = COCOeval(truth, truth.loadRes([found]), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    assert judge.stats[0] == pytest.approx(1.0)
