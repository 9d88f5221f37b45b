"""Small data sets as labelling tools write them, all with the same images and boxes."""

import csv
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 80, 60
NAMES = ("cat", "dog")
Box = tuple[float, float, float, float]
Labels = Mapping[str, list[tuple[str, Box]]]

TRAIN: Labels = {
    "im 1": [("cat", (4, 6, 24, 36)), ("dog", (40, 10, 70, 50))],
    "größe_2": [("dog", (0, 0, 30, 20))],
    "b.3": [],
}
VAL: Labels = {"v1": [("cat", (10, 12, 50, 40))], "v2": [("dog", (30, 30, 80, 60))]}
SPLITS = {"train": TRAIN, "val": VAL}
ALL: Labels = TRAIN | VAL


def save_image(path: Path, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (size[1], size[0], 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path)


def text(path: Path, content: str, encoding: str = "utf-8", newline: str = "\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.replace("\n", newline).encode(encoding))


def yolo_rows(rows: list[tuple[str, Box]], names: tuple[str, ...] = NAMES, more: str = "") -> str:
    lines = []
    for name, (x1, y1, x2, y2) in rows:
        center = ((x1 + x2) / 2 / WIDTH, (y1 + y2) / 2 / HEIGHT)
        size = ((x2 - x1) / WIDTH, (y2 - y1) / HEIGHT)
        numbers = " ".join(f"{value:.8f}" for value in (*center, *size))
        lines.append(f"{names.index(name)} {numbers}{more}\n")
    return "".join(lines)


def coco_json(labels: Labels, names: tuple[str, ...] = NAMES, prefix: str = "") -> str:
    images, annotations = [], []
    for number, (stem, rows) in enumerate(labels.items(), 1):
        name = f"{prefix}{stem}.png"
        images.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
        for label, (x1, y1, x2, y2) in rows:
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": names.index(label) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": number, "name": name} for number, name in enumerate(names, 1)]
    return json.dumps({"images": images, "annotations": annotations, "categories": categories})


def voc_xml(stem: str, rows: list[tuple[str, Box]], first_pixel: int = 1) -> str:
    objects = "".join(
        f"<object><name>{name}</name><difficult>0</difficult><bndbox>"
        f"<xmin>{x1 + first_pixel:g}</xmin><ymin>{y1 + first_pixel:g}</ymin>"
        f"<xmax>{x2:g}</xmax><ymax>{y2:g}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2) in rows
    )
    return (
        f"<annotation><filename>{stem}.png</filename><size><width>{WIDTH}</width>"
        f"<height>{HEIGHT}</height><depth>3</depth></size>{objects}</annotation>"
    )


def roboflow_yolo(root: Path) -> None:
    for folder, labels in (("train", TRAIN), ("valid", VAL)):
        for stem, rows in labels.items():
            save_image(root / folder / "images" / f"{stem}.png")
            text(root / folder / "labels" / f"{stem}.txt", yolo_rows(rows))
    text(
        root / "data.yaml",
        "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\n"
        "names: ['cat', 'dog']\n\nroboflow:\n  workspace: me\n  version: 1\n",
    )
    text(root / "README.roboflow.txt", "cells - v1\n1 2 3 4 5\n")


def roboflow_coco(root: Path) -> None:
    for folder, labels in (("train", TRAIN), ("valid", VAL)):
        for stem in labels:
            save_image(root / folder / f"{stem}.png")
        document = json.loads(coco_json(labels))
        for category in document["categories"]:
            category["supercategory"] = "animals"
        group = {"id": 0, "name": "animals", "supercategory": "none"}
        document["categories"].insert(0, group)
        text(root / folder / "_annotations.coco.json", json.dumps(document))


def roboflow_voc(root: Path) -> None:
    for folder, labels in (("train", TRAIN), ("valid", VAL)):
        for stem, rows in labels.items():
            save_image(root / folder / f"{stem}.png")
            text(root / folder / f"{stem}.xml", voc_xml(stem, rows))


def roboflow_darknet(root: Path) -> None:
    for folder, labels in (("train", TRAIN), ("valid", VAL)):
        for stem, rows in labels.items():
            save_image(root / folder / f"{stem}.png")
            text(root / folder / f"{stem}.txt", yolo_rows(rows))
        text(root / folder / "_darknet.labels", "cat\ndog\n")


def cvat_yolo(root: Path) -> None:
    for stem, rows in TRAIN.items():
        save_image(root / "obj_train_data" / f"{stem}.png")
        text(root / "obj_train_data" / f"{stem}.txt", yolo_rows(rows))
    for stem, rows in VAL.items():
        save_image(root / "obj_valid_data" / f"{stem}.png")
        text(root / "obj_valid_data" / f"{stem}.txt", yolo_rows(rows))
    text(root / "train.txt", "".join(f"data/obj_train_data/{stem}.png\n" for stem in TRAIN))
    text(root / "valid.txt", "".join(f"data/obj_valid_data/{stem}.png\n" for stem in VAL))
    text(root / "obj.names", "cat\ndog\n", newline="\r\n")
    text(
        root / "obj.data",
        "classes = 2\ntrain = data/train.txt\nvalid = data/valid.txt\n"
        "names = data/obj.names\nbackup = backup/\n",
    )


def cvat_ultralytics(root: Path) -> None:
    for folder, labels in (("Train", TRAIN), ("Validation", VAL)):
        for stem, rows in labels.items():
            save_image(root / "images" / folder / f"{stem}.png")
            text(root / "labels" / folder / f"{stem}.txt", yolo_rows(rows))
        lines = "".join(f"data/images/{folder}/{stem}.png\n" for stem in labels)
        text(root / f"{folder}.txt", lines)
    text(
        root / "data.yaml",
        "Train: Train.txt\nValidation: Validation.txt\nnames:\n  0: cat\n  1: dog\npath: .\n",
    )


def cvat_coco(root: Path) -> None:
    for folder, labels in SPLITS.items():
        for stem in labels:
            save_image(root / "images" / folder / f"{stem}.png")
        text(root / "annotations" / f"instances_{folder}.json", coco_json(labels))


def cvat_voc(root: Path) -> None:
    for stem, rows in TRAIN.items():
        save_image(root / "JPEGImages" / f"{stem}.png")
        text(root / "Annotations" / f"{stem}.xml", voc_xml(stem, rows, first_pixel=0))
    text(root / "ImageSets/Main/default.txt", "".join(f"{stem}\n" for stem in TRAIN))
    text(root / "labelmap.txt", "# label:color_rgb:parts:actions\ncat:1,2,3::\ndog:4,5,6::\n")


def voc_devkit(root: Path) -> None:
    home = root / "VOCdevkit" / "VOC2012"
    for split, labels in SPLITS.items():
        for stem, rows in labels.items():
            save_image(home / "JPEGImages" / f"{stem}.png")
            text(home / "Annotations" / f"{stem}.xml", voc_xml(stem, rows))
        text(home / f"ImageSets/Main/{split}.txt", "".join(f"{stem}\n" for stem in labels))
    text(home / "ImageSets/Main/cat_train.txt", "im 1 1\n")


def label_studio_yolo(root: Path) -> None:
    names = ("cat", "dog")
    for number, (stem, rows) in enumerate(ALL.items()):
        save_image(root / "images" / f"{number:08x}-{stem}.png")
        text(root / "labels" / f"{number:08x}-{stem}.txt", yolo_rows(rows, names))
    text(root / "classes.txt", "cat\ndog\n")
    text(root / "notes.json", json.dumps({"categories": [], "info": {"version": "1.0"}}))


def label_studio_coco(root: Path) -> None:
    for stem in ALL:
        save_image(root / "images" / f"{stem}.png")
    document = json.loads(coco_json(ALL, prefix="..\\..\\label-studio\\media\\upload\\4\\"))
    text(root / "result.json", json.dumps(document))


def labelimg_yolo(root: Path) -> None:
    for stem, rows in ALL.items():
        save_image(root / f"{stem}.png")
        text(root / f"{stem}.txt", yolo_rows(rows), newline="\r\n")
    text(root / "classes.txt", "cat\ndog\n", newline="\r\n")


def labelimg_voc(root: Path) -> None:
    for stem, rows in ALL.items():
        save_image(root / f"{stem}.png")
        text(root / f"{stem}.xml", voc_xml(stem, rows))


def labelme(root: Path) -> None:
    for stem, rows in ALL.items():
        save_image(root / f"{stem}.png")
        shapes = [
            {"label": name, "points": [[x2, y1], [x1, y2]], "shape_type": "rectangle"}
            for name, (x1, y1, x2, y2) in rows
        ]
        document = {
            "version": "5.4.1",
            "shapes": shapes,
            "imagePath": f"{stem}.png",
            "imageData": None,
            "imageHeight": HEIGHT,
            "imageWidth": WIDTH,
        }
        text(root / f"{stem}.json", json.dumps(document))


def fiftyone_yolo(root: Path) -> None:
    for stem, rows in ALL.items():
        save_image(root / "images" / "val" / f"{stem}.png")
        text(root / "labels" / "val" / f"{stem}.txt", yolo_rows(rows))
    text(root / "dataset.yaml", "names:\n  0: cat\n  1: dog\npath: .\nval: ./images/val/\n")


def fiftyone_coco(root: Path) -> None:
    for stem in ALL:
        save_image(root / "data" / f"{stem}.png")
    text(root / "labels.json", coco_json(ALL))


def fiftyone_voc(root: Path) -> None:
    for stem, rows in ALL.items():
        save_image(root / "data" / f"{stem}.png")
        text(root / "labels" / f"{stem}.xml", voc_xml(stem, rows, first_pixel=0))


def supervisely(root: Path) -> None:
    classes = [{"title": name, "shape": "rectangle", "color": "#000000"} for name in NAMES]
    text(root / "meta.json", json.dumps({"classes": classes, "tags": []}))
    for folder, labels in SPLITS.items():
        for stem, rows in labels.items():
            save_image(root / folder / "img" / f"{stem}.png")
            objects = [
                {
                    "classTitle": name,
                    "geometryType": "rectangle",
                    "points": {"exterior": [[x1, y1], [x2, y2]], "interior": []},
                }
                for name, (x1, y1, x2, y2) in rows
            ]
            document = {"size": {"height": HEIGHT, "width": WIDTH}, "objects": objects, "tags": []}
            text(root / folder / "ann" / f"{stem}.png.json", json.dumps(document))


def openimages(root: Path) -> None:
    for split, labels in SPLITS.items():
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(
            [
                "ImageID",
                "Source",
                "LabelName",
                "Confidence",
                "XMin",
                "XMax",
                "YMin",
                "YMax",
                "IsOccluded",
                "IsTruncated",
                "IsGroupOf",
                "IsDepiction",
                "IsInside",
            ]
        )
        for stem, rows in labels.items():
            save_image(root / split / f"{stem}.png")
            for name, (x1, y1, x2, y2) in rows:
                corners = (x1 / WIDTH, x2 / WIDTH, y1 / HEIGHT, y2 / HEIGHT)
                code = f"/m/0{NAMES.index(name)}"
                writer.writerow((stem, "xclick", code, 1, *corners, 0, 0, 0, 0, 0))
        text(root / f"{split}-annotations-bbox.csv", out.getvalue())
    text(root / "class-descriptions-boxable.csv", "/m/00,cat\n/m/01,dog\n/m/02,fish\n")


def kitti(root: Path) -> None:
    for stem, rows in ALL.items():
        save_image(root / "training" / "image_2" / f"{stem}.png")
        lines = [
            f"{name} 0.00 0 -1.57 {x1:.2f} {y1:.2f} {x2:.2f} {y2:.2f} 1.7 0.8 0.6 1.0 1.0 10.0 -1.5"
            for name, (x1, y1, x2, y2) in rows
        ]
        lines += ["DontCare -1 -1 -10 0.00 50.00 9.00 59.00 -1 -1 -1 -1000 -1000 -1000 -10"]
        text(root / "training" / "label_2" / f"{stem}.txt", "\n".join(lines) + "\n")
        text(root / "training" / "calib" / f"{stem}.txt", "P0: 7.2 0 6.0 0 0 7.2 1.8 0 0 0 1 0\n")


def visdrone(root: Path) -> None:
    for folder, labels in (("VisDrone2019-DET-train", TRAIN), ("VisDrone2019-DET-val", VAL)):
        for stem, rows in labels.items():
            save_image(root / folder / "images" / f"{stem}.png")
            lines = [
                f"{x1:g},{y1:g},{x2 - x1:g},{y2 - y1:g},1,{4 if name == 'cat' else 9},0,0"
                for name, (x1, y1, x2, y2) in rows
            ]
            lines += ["60,0,10,10,0,0,0,0", "5,5,5,5,1,11,0,0"]
            text(root / folder / "annotations" / f"{stem}.txt", "\n".join(lines) + "\n")


def widerface(root: Path) -> None:
    for split, labels in SPLITS.items():
        lines = []
        for stem, rows in labels.items():
            save_image(root / f"WIDER_{split}" / "images" / "0--Parade" / f"{stem}.png")
            lines += [f"0--Parade/{stem}.png", str(len(rows))]
            lines += [
                f"{x1:g} {y1:g} {x2 - x1:g} {y2 - y1:g} 0 0 0 0 0 0" for _, (x1, y1, x2, y2) in rows
            ]
            lines += [] if rows else ["0 0 0 0 0 0 0 0 0 0"]
        text(root / "wider_face_split" / f"wider_face_{split}_bbx_gt.txt", "\n".join(lines) + "\n")


def crowdhuman(root: Path) -> None:
    for split, labels in SPLITS.items():
        lines = []
        for stem, rows in labels.items():
            save_image(root / "Images" / f"{stem}.png")
            boxes = [
                {
                    "tag": "person",
                    "fbox": [x1, y1, x2 - x1, y2 - y1],
                    "vbox": [x1, y1, 3, 3],
                    "hbox": [x1, y1, 2, 2],
                    "extra": {"box_id": 0},
                }
                for _, (x1, y1, x2, y2) in rows
            ]
            boxes += [{"tag": "mask", "fbox": [50, 0, 5, 5], "extra": {"ignore": 1}}]
            lines.append(json.dumps({"ID": stem, "gtboxes": boxes}))
        text(root / f"annotation_{split}.odgt", "\n".join(lines) + "\n")


def two_columns(root: Path) -> None:
    """DeepPCB; its names hold no blanks, which separate the columns."""
    for split, labels in (("trainval", TRAIN), ("test", VAL)):
        lines = []
        for stem, rows in labels.items():
            name = stem.replace(" ", "_")
            save_image(root / "group" / "img" / f"{name}_test.png")
            save_image(root / "group" / "img" / f"{name}_temp.png")
            text(
                root / "group" / "img_not" / f"{name}.txt",
                "".join(
                    f"{x1:g} {y1:g} {x2:g} {y2:g} {NAMES.index(label) + 1}\n"
                    for label, (x1, y1, x2, y2) in rows
                ),
            )
            lines.append(f"group/img/{name}.png group/img_not/{name}.txt")
        text(root / f"{split}.txt", "\n".join(lines) + "\n")


def objects365(root: Path) -> None:
    """File names that begin with folders which are not there."""
    for stem in TRAIN:
        save_image(root / "train" / "patch0" / f"{stem}.png")
    for stem in VAL:
        save_image(root / "val" / "patch1" / f"{stem}.png")
    text(root / "zhiyuan_objv2_train.json", coco_json(TRAIN, prefix="images/v1/patch0/"))
    text(root / "zhiyuan_objv2_val.json", coco_json(VAL, prefix="images/v2/patch1/"))


def lvis(root: Path) -> None:
    for split, labels in SPLITS.items():
        document = json.loads(coco_json(labels))
        for image in document["images"]:
            name = image.pop("file_name")
            image["coco_url"] = f"http://images.cocodataset.org/{split}2017/{name}"
            image["neg_category_ids"], image["not_exhaustive_category_ids"] = [1], []
        text(root / f"lvis_v1_{split}.json", json.dumps(document))
        for stem in labels:
            save_image(root / f"{split}2017" / f"{stem}.png")


def plain_yolo(root: Path) -> None:
    """Images and labels side by side in a folder named images, without anything else."""
    for stem, rows in ALL.items():
        save_image(root / "images" / f"{stem}.png")
        text(root / "images" / f"{stem}.txt", yolo_rows(rows))
    text(root / "images" / "classes.txt", "cat\ndog\n")


EXPORTS: dict[str, tuple[Callable[[Path], None], str]] = {
    "Roboflow YOLO": (roboflow_yolo, "yolo"),
    "Roboflow COCO": (roboflow_coco, "coco"),
    "Roboflow VOC": (roboflow_voc, "voc"),
    "Roboflow Darknet": (roboflow_darknet, "yolo"),
    "CVAT YOLO 1.1": (cvat_yolo, "yolo"),
    "CVAT Ultralytics": (cvat_ultralytics, "yolo"),
    "CVAT COCO": (cvat_coco, "coco"),
    "CVAT VOC": (cvat_voc, "voc"),
    "VOC": (voc_devkit, "voc"),
    "Label Studio YOLO": (label_studio_yolo, "yolo"),
    "Label Studio COCO": (label_studio_coco, "coco"),
    "labelImg YOLO": (labelimg_yolo, "yolo"),
    "labelImg VOC": (labelimg_voc, "voc"),
    "labelme": (labelme, "labelme"),
    "FiftyOne YOLO": (fiftyone_yolo, "yolo"),
    "FiftyOne COCO": (fiftyone_coco, "coco"),
    "FiftyOne VOC": (fiftyone_voc, "voc"),
    "Supervisely": (supervisely, "supervisely"),
    "Open Images": (openimages, "openimages"),
    "KITTI": (kitti, "kitti"),
    "VisDrone": (visdrone, "visdrone"),
    "WIDER FACE": (widerface, "widerface"),
    "CrowdHuman": (crowdhuman, "crowdhuman"),
    "DeepPCB": (two_columns, "two_columns"),
    "Objects365": (objects365, "coco"),
    "LVIS": (lvis, "coco"),
    "plain YOLO": (plain_yolo, "yolo"),
}
