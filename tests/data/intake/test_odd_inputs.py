"""Inputs between the layouts: right boxes or one line that says what to do, never a traceback."""

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from configs.errors import ConfigError
from tests.data.intake.exports import (
    ALL,
    TRAIN,
    VAL,
    coco_json,
    cvat_yolo,
    roboflow_yolo,
    save_image,
    text,
    voc_devkit,
    voc_xml,
    yolo_rows,
)
from tests.data.intake.test_exports import assert_boxes, recognised, splits_of
from utils.runtime.errors import UserError


def images(folder: Path) -> None:
    for stem in TRAIN:
        save_image(folder / f"{stem}.png")


def yolo(root: Path, name: str = "{}.txt", folder: str = "labels") -> None:
    images(root / "images")
    text(root / "classes.txt", "cat\ndog\n")
    for stem, rows in TRAIN.items():
        text(root / folder / name.format(stem), yolo_rows(rows))


def roboflow_with_train_only(root: Path) -> None:
    roboflow_yolo(root)
    shutil.rmtree(root / "valid")


def cvat_with_folders(root: Path) -> None:
    cvat_yolo(root)
    deep = root / "obj_train_data" / "a" / "b"
    deep.mkdir(parents=True)
    for path in list((root / "obj_train_data").glob("*.*")):
        path.rename(deep / path.name)
    lines = "".join(f"data/obj_train_data/a/b/{stem}.png\n" for stem in TRAIN)
    text(root / "train.txt", lines)


def upper_case_beside(root: Path) -> None:
    yolo(root, "{}.TXT", "images")


def newline_in_names(root: Path) -> None:
    yolo(root)
    for path in [*root.glob("images/*"), *root.glob("labels/*")]:
        path.rename(path.with_name(f"x\n{path.name}"))


def lists_of_another_machine(root: Path) -> None:
    roboflow_yolo(root)
    text(root / "train.txt", "".join(f"/home/bob/p/train/images/{stem}.png\n" for stem in TRAIN))
    text(root / "valid.txt", "".join(f"D:\\p\\valid\\images\\{stem}.png\n" for stem in VAL))
    text(root / "data.yaml", "train: train.txt\nval: valid.txt\nnames: [cat, dog]\n")


def list_with_comment_and_quotes(root: Path) -> None:
    roboflow_yolo(root)
    lines = "".join(f'"./train/images/{stem}.png"\n' for stem in TRAIN)
    text(root / "train.txt", "# my images\n" + lines)
    text(root / "data.yaml", "train: train.txt\nval: valid/images\nnames: [cat, dog]\n")


def zip_within_a_folder(root: Path) -> None:
    roboflow_yolo(root / "x")
    with zipfile.ZipFile(root / "cells.zip", "w") as file:
        for path in (root / "x").rglob("*.*"):
            file.write(path, path.relative_to(root / "x"))
    shutil.rmtree(root / "x")


def coco(root: Path, change: Callable[[dict[str, list[dict[str, object]]]], object]) -> None:
    images(root / "images")
    document = json.loads(coco_json(TRAIN))
    change(document)
    text(root / "annotations.json", json.dumps(document))


def coco_text_ids(root: Path) -> None:
    def change(document: dict[str, list[dict[str, object]]]) -> None:
        for key, ids in (("images", ["id"]), ("categories", ["id"])):
            for entry in document[key]:
                entry |= {name: f"{key}-{entry[name]}" for name in ids}
        for entry in document["annotations"]:
            entry["image_id"] = f"images-{entry['image_id']}"
            entry["category_id"] = f"categories-{entry['category_id']}"

    coco(root, change)


def coco_crowd_without_bbox(root: Path) -> None:
    mask = {"size": [60, 80], "counts": [0, 600, 4200]}
    crowd = {"id": 99, "image_id": 1, "category_id": 1, "iscrowd": 1, "segmentation": mask}
    coco(root, lambda document: document["annotations"].append(crowd))


def coco_without_sizes(root: Path) -> None:
    coco(root, lambda document: [e.pop("width") and e.pop("height") for e in document["images"]])


def coco_utf16(root: Path) -> None:
    images(root / "images")
    text(root / "annotations.json", coco_json(TRAIN), "utf-16")


def coco_beside_captions(root: Path) -> None:
    for folder, labels in (("train", TRAIN), ("val", VAL)):
        for stem in labels:
            save_image(root / f"{folder}2017" / f"{stem}.png")
        text(root / "annotations" / f"instances_{folder}2017.json", coco_json(labels))
    document = json.loads(coco_json(TRAIN))
    document["annotations"] = [{"id": 1, "image_id": 1, "caption": "a cat"}]
    text(root / "annotations" / "captions_train2017.json", json.dumps(document))


def voc(root: Path, before: str = "", after: str = "") -> None:
    for stem, rows in TRAIN.items():
        save_image(root / f"{stem}.png")
        text(root / f"{stem}.xml", voc_xml(stem, rows).replace(before, after))


def voc_decimals(root: Path) -> None:
    voc(root, "<xmin>5</xmin>", "<xmin>5.0e+00</xmin>")


def voc_blanks(root: Path) -> None:
    voc(root, "<name>cat</name>", "<name>\n cat </name>")


def voc_size_zero(root: Path) -> None:
    voc(root, "<width>80", "<width>0")


def voc_parts(root: Path) -> None:
    corners = "".join(f"<{name}>3</{name}>" for name in ("xmin", "ymin", "xmax", "ymax"))
    part = f"<part><name>head</name><bndbox>{corners}</bndbox></part>"
    voc(root, "<difficult>", f"{part}<difficult>")


def voc_lists_with_flags(root: Path) -> None:
    voc_devkit(root)
    for path in root.rglob("ImageSets/Main/*.txt"):
        names = path.read_text(encoding="utf-8").splitlines()
        text(path, "".join(f"{name}  1\n" for name in names))


def voc_with_trainval(root: Path) -> None:
    voc_devkit(root)
    (lists,) = {path.parent for path in root.rglob("ImageSets/Main/*.txt")}
    text(lists / "trainval.txt", "".join(f"{stem}\n" for stem in ALL))
    text(lists / "cat_train.txt", "".join(f"{stem} -1\n" for stem in ALL))


def voc_with_list_of_a_class(root: Path) -> None:
    voc_devkit(root)
    (lists,) = {path.parent for path in root.rglob("ImageSets/Main/*.txt")}
    for path in lists.iterdir():
        path.unlink()
    text(lists / "cat_train.txt", f"{next(iter(ALL))}  1\n")


def voc_named_by_number(root: Path) -> None:
    for number, (stem, rows) in enumerate(TRAIN.items()):
        save_image(root / "images" / f"{stem}.png")
        text(root / "ann" / f"{number}.xml", voc_xml(stem, rows))


READ = [
    roboflow_with_train_only,
    cvat_with_folders,
    upper_case_beside,
    newline_in_names,
    lists_of_another_machine,
    list_with_comment_and_quotes,
    zip_within_a_folder,
    coco_text_ids,
    coco_crowd_without_bbox,
    coco_without_sizes,
    coco_utf16,
    coco_beside_captions,
    voc_decimals,
    voc_blanks,
    voc_size_zero,
    voc_parts,
    voc_lists_with_flags,
    voc_with_trainval,
    voc_with_list_of_a_class,
    voc_named_by_number,
]


@pytest.mark.parametrize("write", READ, ids=lambda write: write.__name__)
def test_right_boxes(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path)
    splits = splits_of(recognised(tmp_path).dataset)
    for split in splits.values():
        assert_boxes(split)
    assert sum(len(split.records) for split in splits.values()) in (len(TRAIN), len(ALL))


def test_names_in_windows_1252(tmp_path: Path) -> None:
    yolo(tmp_path)
    text(tmp_path / "classes.txt", "kätzchen\nhündchen\n", "cp1252")
    (split,) = splits_of(recognised(tmp_path).dataset).values()
    assert split.class_names == ("kätzchen", "hündchen")


def test_categories_without_names_stay_apart(tmp_path: Path) -> None:
    coco(tmp_path, lambda document: [entry.pop("name") for entry in document["categories"]])
    (split,) = splits_of(recognised(tmp_path).dataset).values()
    assert split.class_names == ("1", "2")
    assert sorted(label for record in split.records for label in record.labels) == [0, 1, 1]


def empty_folders(root: Path) -> Path:
    (root / "train" / "images").mkdir(parents=True)
    return root


def images_alone(root: Path) -> Path:
    images(root)
    return root


def names_from_one(root: Path) -> Path:
    roboflow_yolo(root)
    text(root / "data.yaml", "train: train/images\nnames: {1: cat, 2: dog}\n")
    return root


def folders_without_files(root: Path) -> Path:
    text(root / "data.yaml", "train: ../train/images\nval: ../valid/images\nnames: [cat, dog]\n")
    return root


def percent(root: Path) -> Path:
    yolo(root)
    for path in (root / "labels").iterdir():
        path.write_text("".join("0 50.0 50.0 20.0 20.0\n" for _ in path.read_text().splitlines()))
    return root


def coco_same_names(root: Path) -> Path:
    images(root / "a")
    images(root / "b")
    text(root / "annotations.json", coco_json(TRAIN))
    return root


def coco_cut_off(root: Path) -> Path:
    images(root / "images")
    text(root / "annotations.json", coco_json(TRAIN)[:-30])
    return root


def coco_single_backslashes(root: Path) -> Path:
    images(root / "images")
    document = coco_json(TRAIN).replace('"file_name": "', '"file_name": "C:\\images\\')
    text(root / "annotations.json", document)
    return root


def cvat_video(root: Path) -> Path:
    images(root / "images")
    text(root / "annotations.xml", '<annotations><track id="0" label="cat"></track></annotations>')
    return root


def via(root: Path) -> Path:
    images(root)
    text(root / "via.json", '{"im 1.png1": {"filename": "im 1.png", "regions": []}}')
    return root


def label_file(root: Path) -> Path:
    text(root / "a.txt", "0 0.5 0.5 0.2 0.2\n")
    return root / "a.txt"


def list_of_nothing(root: Path) -> Path:
    text(root / "list.txt", "a.jpg\nb.jpg\n")
    return root / "list.txt"


def empty_list(root: Path) -> Path:
    text(root / "list.txt", "\n\n")
    return root / "list.txt"


def empty_archive(root: Path) -> Path:
    with zipfile.ZipFile(root / "x.zip", "w"):
        pass
    return root / "x.zip"


def page_named_zip(root: Path) -> Path:
    text(root / "x.zip", "<html>log in</html>")
    return root / "x.zip"


def other_archive(root: Path) -> Path:
    text(root / "x.7z", "7z")
    return root / "x.7z"


REFUSED = [
    (empty_folders, "found no files"),
    (images_alone, "3 images and no labels; export the labels, too"),
    (names_from_one, r"names: \[cat, dog\], and first_class: 1 if the ids"),
    (folders_without_files, "train/images does not exist"),
    (percent, "not normalised"),
    (coco_same_names, "several files have its name: .*a.*b.*; set their folder"),
    (coco_cut_off, "not valid JSON"),
    (coco_single_backslashes, "not valid JSON"),
    (cvat_video, "tracks of a video: export it as 'CVAT for images 1.1'"),
    (via, "not recognised .*export it as COCO, YOLO or VOC"),
    (label_file, "holds labels, not paths of images"),
    (list_of_nothing, "none of the 2 images that it names exists"),
    (empty_list, "is empty; give a list"),
    (empty_archive, "holds no files; download or export it again"),
    (page_named_zip, "not a zip file"),
    (other_archive, "is not a data set; give a folder"),
]


def require_usable(target: Path) -> None:
    for split in splits_of(recognised(target).dataset).values():
        split.report.require_usable(0.01)


@pytest.mark.parametrize(
    ("write", "line"), REFUSED, ids=lambda value: getattr(value, "__name__", "")
)
def test_one_line(write: Callable[[Path], Path], line: str, tmp_path: Path) -> None:
    target = write(tmp_path)
    with pytest.raises((UserError, ConfigError), match=line) as caught:
        require_usable(target)
    assert "\n" not in str(caught.value)
