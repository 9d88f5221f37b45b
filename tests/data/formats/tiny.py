"""Tiny data sets on disk for the tests of readers: grey images, a few labels."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from configs.schema.data import CocoDataset, CocoSplit, VocDataset, YoloDataset

NAMES = ("cat", "dog")


def write_image(path: Path, height: int = 60, width: int = 80) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.full((height, width, 3), 128, np.uint8))
    return path


def yolo(root: Path, labels: Mapping[str, str | None], **settings: Any) -> YoloDataset:
    """Images of 80 x 60 named by the keys, with the given label text (None: no label file)."""
    for name, text in labels.items():
        write_image(root / "images" / f"{name}.jpg")
        if text is not None:
            path = root / "labels" / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    return YoloDataset(**{"path": str(root), "class_names": NAMES, "train": "images"} | settings)


def coco(
    root: Path, images: list[dict[str, Any]], annotations: list[dict[str, Any]], /, **changes: Any
) -> CocoDataset:
    """Images of 80 x 60 as listed, categories cat 0 and dog 7 unless `changes` says otherwise."""
    for image in images:
        write_image(root / "images" / image["file_name"])
    document = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": 7, "name": "dog"}, {"id": 0, "name": "cat"}],
    } | changes
    (root / "train.json").write_text(json.dumps(document))
    train = CocoSplit(images="images", annotations="train.json")
    return CocoDataset(format="coco", path=str(root), class_names=NAMES, train=train)


def voc(root: Path, objects: Mapping[str, str | None], **settings: Any) -> VocDataset:
    """Images of 80 x 60 named by the keys, with XML of the given inner text (None: no XML)."""
    names = root / "ImageSets" / "Main" / "train.txt"
    names.parent.mkdir(parents=True)
    names.write_text("".join(f"{name}\n" for name in objects))
    (root / "Annotations").mkdir()
    for name, text in objects.items():
        write_image(root / "JPEGImages" / f"{name}.jpg")
        if text is not None:
            content = f"<annotation>{text}</annotation>"
            (root / "Annotations" / f"{name}.xml").write_text(content)
    base = {"format": "voc", "path": str(root), "class_names": NAMES}
    return VocDataset(**base | settings)


def voc_object(name: str, box: tuple[Any, Any, Any, Any], extra: str = "") -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    inner = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners)
    return f"<object><name>{name}</name>{extra}<bndbox>{inner}</bndbox></object>"
