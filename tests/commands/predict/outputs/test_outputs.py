"""What is drawn and cut out, pixel by pixel."""

from pathlib import Path

import cv2
import numpy as np
import torch

from commands.predict.outputs.output import SMALLEST_SIDE, annotated
from commands.predict.outputs.pictures import AnnotatedVideos, Crops, as_file_name
from data.sources.frame import Frame
from utils.report.drawing import DEFAULT_STYLE
from utils.structures.results import Detections


def found_at(*boxes: tuple[float, float, float, float]) -> Detections:
    rows = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return Detections(
        boxes=rows, scores=torch.linspace(0.9, 0.5, len(rows)), labels=torch.arange(len(rows))
    )


def frame(number: int | None, size: tuple[int, int], name: str = "a") -> Frame:
    return Frame(source=name, name=name, image_id=0, size=size, number=number, frame_rate=10.0)


def test_boxes_follow_the_enlargement_of_a_small_picture() -> None:
    image, found = np.zeros((60, 96, 3), np.uint8), found_at((20, 30, 80, 50))
    picture = annotated(image, found, ("cat",), DEFAULT_STYLE)
    factor = SMALLEST_SIDE // 96
    drawn = picture.any(axis=2)
    assert picture.shape == (60 * factor, 96 * factor, 3)
    for x, y in ((20, 40), (80, 40), (50, 30), (50, 50)):
        assert drawn[y * factor, x * factor]
    assert not drawn[40 * factor, 50 * factor]


def test_crops_are_the_pixels_inside_whole_ones_and_nothing_outside(tmp_path: Path) -> None:
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 30:50] = 255
    found = found_at((30.4, 10.2, 49.5, 19.9), (55, 35, 60, 40), (60, 5, 60, 9))
    Crops(tmp_path, ("a/b", "..", "c")).write(frame(None, (40, 60)), lambda: image, found)
    bright = cv2.imread(str(tmp_path / "a_b" / "a_0.jpg"))
    assert bright.shape == (10, 20, 3)
    assert bright.min() > 250
    assert cv2.imread(str(tmp_path / "_" / "a_1.jpg")).shape == (5, 5, 3)
    assert len(list(tmp_path.rglob("*.jpg"))) == 2


def test_names_of_classes_are_safe_as_folders() -> None:
    assert [as_file_name(text) for text in ("traffic light", "../x", "...", "é", "")] == [
        "traffic_light",
        "_x",
        "_",
        "é",
        "_",
    ]


def test_a_stream_that_changes_its_size_stays_one_video(tmp_path: Path) -> None:
    videos = AnnotatedVideos(tmp_path, ("cat",))
    for number, size in enumerate([(480, 640), (240, 320), (480, 640)]):
        image = np.full((*size, 3), 50 * number, np.uint8)
        videos.write(frame(number, size), lambda image=image: image, found_at())
    videos.write(frame(0, (480, 640), "b"), lambda: np.zeros((480, 640, 3), np.uint8), found_at())
    videos.close()
    counts = {}
    for path in sorted(tmp_path.iterdir()):
        capture = cv2.VideoCapture(str(path))
        counts[path.name] = (capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(3), capture.get(4))
    assert counts == {"a.mp4": (3, 640, 480), "b.mp4": (1, 640, 480)}


def test_no_find_costs_no_reading(tmp_path: Path) -> None:
    def read() -> None:
        raise AssertionError("the picture was read for nothing")

    Crops(tmp_path, ()).write(frame(None, (4, 4)), read, found_at())  # type: ignore[arg-type]
    AnnotatedVideos(tmp_path, ()).write(frame(None, (4, 4)), read, found_at())  # type: ignore[arg-type]
