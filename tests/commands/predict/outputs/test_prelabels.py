"""Pre-labels come back as the same boxes: through our readers, and as the tools' formats say."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import cv2
import numpy as np
import pytest
import torch

from commands.predict.outputs.output import Output
from commands.predict.outputs.prelabels import (
    CocoPrelabels,
    CvatAnnotations,
    LabelStudioTasks,
    YoloPrelabels,
    file_name,
)
from configs.reading.load import load_dataset
from data.intake.resolve import look_at
from data.records.load import load_split
from data.sources.frame import Frame
from utils.structures.images import ImageArray
from utils.structures.results import Detections

NAMES = ("cat", "big dog", "été")
SIZE = (60, 96)
Rows = list[tuple[int, tuple[float, ...]]]


def pictures(folder: Path) -> list[tuple[Frame, Detections]]:
    folder.mkdir()
    result = []
    for number, boxes in enumerate(
        ([(1.5, 2.25, 40, 30), (0, 0, 96, 60)], [], [(10, 5, 11.5, 59)])
    ):
        path = folder / f"shot {number}.png"
        cv2.imwrite(str(path), np.full((*SIZE, 3), 60 * number, np.uint8))
        found = Detections(
            boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
            scores=torch.linspace(0.9, 0.5, len(boxes)),
            labels=torch.arange(len(boxes)) + number % 2 + (number == 2) * 2,
        )
        frame = Frame(source=str(path), name=f"sub/shot {number}", image_id=7 - number, size=SIZE)
        result.append((frame, found))
    pixels = np.full((*SIZE, 3), 200, np.uint8)
    video = Frame(source="v.mp4", name="v", image_id=9, size=SIZE, number=3, pixels=pixels)
    boxes = torch.tensor([[3.0, 4.0, 50.0, 20.0]])
    found = Detections(boxes=boxes, scores=torch.tensor([0.7]), labels=torch.tensor([1]))
    return [*result, (video, found)]


def write(output: Output, items: list[tuple[Frame, Detections]]) -> None:
    for frame, found in items:
        image: Callable[[], ImageArray] = frame.image
        output.write(frame, image, found)
    output.close()


def expected(items: list[tuple[Frame, Detections]]) -> dict[str, Rows]:
    return {
        file_name(frame): sorted(
            (label, tuple(box))
            for label, box in zip(found.labels.tolist(), found.boxes.tolist(), strict=True)
        )
        for frame, found in items
    }


def assert_same(read: dict[str, Rows], items: list[tuple[Frame, Detections]]) -> None:
    wanted = expected(items)
    assert read.keys() == wanted.keys()
    for name, rows in wanted.items():
        assert [label for label, _ in read[name]] == [label for label, _ in rows]
        for (_, box), (_, other) in zip(read[name], rows, strict=True):
            np.testing.assert_allclose(box, other, atol=0.006)


@pytest.fixture
def items(tmp_path: Path) -> list[tuple[Frame, Detections]]:
    return pictures(tmp_path / "source")


def makers(folder: Path) -> dict[str, Output]:
    return {
        "coco": CocoPrelabels(folder, NAMES, (0, 4, 2)),
        "yolo": YoloPrelabels(folder, NAMES),
    }


@pytest.mark.parametrize("kind", ["coco", "yolo"])
def test_data_sets_are_read_again_and_train_as_they_are(
    kind: str, items: list[tuple[Frame, Detections]], tmp_path: Path
) -> None:
    folder = tmp_path / kind
    write(makers(folder)[kind], items)
    settings = load_dataset(folder / "data.yaml", ["data.cache=false"])
    split = load_split(settings, "train")
    assert split.class_names == NAMES
    assert split.report.num_rejected == 0
    images = folder / ("images/default" if kind == "coco" else "images/train")
    read = {
        Path(record.path).relative_to(images).as_posix(): sorted(
            (label, tuple(box))
            for label, box in zip(record.labels.tolist(), record.boxes.tolist(), strict=True)
        )
        for record in split.records
    }
    assert_same(read, items)
    for frame, _ in items:
        copied = cv2.imread(str(images / file_name(frame)))
        assert abs(copied.astype(int) - frame.image()[..., ::-1]).max() <= 2


def test_coco_keeps_scores_and_category_ids(
    items: list[tuple[Frame, Detections]], tmp_path: Path
) -> None:
    write(CocoPrelabels(tmp_path / "x", NAMES, (1, 4, 2)), items)
    document = json.loads((tmp_path / "x/annotations/instances_default.json").read_text())
    scores = {
        (row["image_id"], row["category_id"]): row["score"] for row in document["annotations"]
    }
    assert scores == {(7, 1): 0.9, (7, 4): 0.5, (5, 2): 0.9, (9, 4): 0.7}


def test_no_category_has_the_id_that_importers_take_for_background(
    items: list[tuple[Frame, Detections]], tmp_path: Path
) -> None:
    write(CocoPrelabels(tmp_path / "x", NAMES, (0, 1, 2)), items)
    document = json.loads((tmp_path / "x/annotations/instances_default.json").read_text())
    assert {row["id"]: row["name"] for row in document["categories"]} == dict(enumerate(NAMES, 1))


@pytest.mark.parametrize("kind", ["labelstudio", "cvat"])
def test_files_of_tools_are_read_again_beside_the_images(
    kind: str, items: list[tuple[Frame, Detections]], tmp_path: Path
) -> None:
    output = {"labelstudio": LabelStudioTasks, "cvat": CvatAnnotations}[kind](tmp_path, NAMES)
    write(output, items)
    for frame, _ in items:
        place = tmp_path / "images" / file_name(frame)
        place.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(place), frame.image())
    settings = look_at(load_dataset(str(tmp_path), ["data.cache=false"])).dataset
    split = load_split(settings, "train")
    assert split.report.num_rejected == 0
    read = {
        Path(record.path).relative_to(tmp_path / "images").as_posix(): sorted(
            (NAMES.index(split.class_names[label]), tuple(box))
            for label, box in zip(record.labels, record.boxes.tolist(), strict=True)
        )
        for record in split.records
    }
    assert_same(read, items)


def test_label_studio_reads_percentages_of_the_shown_image(
    items: list[tuple[Frame, Detections]], tmp_path: Path
) -> None:
    write(LabelStudioTasks(tmp_path / "ls", NAMES), items)
    read: dict[str, Rows] = {}
    for task in json.loads((tmp_path / "ls" / "tasks.json").read_text(encoding="utf-8")):
        name = parse_qs(urlparse(task["data"]["image"]).query)["d"][0]
        (prediction,) = task["predictions"]
        rows = []
        for result in prediction["result"]:
            assert result["type"] == "rectanglelabels"
            value, width = result["value"], result["original_width"]
            height = result["original_height"]
            x, y = value["x"] * width / 100, value["y"] * height / 100
            box = (x, y, x + value["width"] * width / 100, y + value["height"] * height / 100)
            rows.append((NAMES.index(*value["rectanglelabels"]), box))
        read[name] = sorted(rows)
    assert_same(read, items)
    view = ElementTree.parse(tmp_path / "ls" / "labels.xml").getroot()
    (labels,) = view.iter("RectangleLabels")
    (image,) = view.iter("Image")
    assert (labels.get("name"), labels.get("toName")) == ("label", image.get("name"))
    assert tuple(label.get("value") for label in labels) == NAMES


def test_cvat_reads_corners_in_pixels(
    items: list[tuple[Frame, Detections]], tmp_path: Path
) -> None:
    write(CvatAnnotations(tmp_path / "cvat", NAMES), items)
    document = ElementTree.parse(tmp_path / "cvat" / "annotations.xml").getroot()
    assert document.findtext("version") == "1.1"
    assert tuple(node.findtext("name") for node in document.iter("label")) == NAMES
    read: dict[str, Rows] = {}
    for number, image in enumerate(document.iter("image")):
        assert (image.get("id"), image.get("width"), image.get("height")) == (
            str(number),
            "96",
            "60",
        )
        read[str(image.get("name"))] = sorted(
            (
                NAMES.index(str(box.get("label"))),
                tuple(float(str(box.get(side))) for side in ("xtl", "ytl", "xbr", "ybr")),
            )
            for box in image.iter("box")
        )
        assert all(box.get("source") == "auto" for box in image.iter("box"))
    assert_same(read, items)
