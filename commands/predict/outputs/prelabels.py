"""Detections as labels that annotation tools import: COCO, YOLO, Label Studio, CVAT.

A person corrects them there instead of drawing from nothing. COCO and YOLO are whole data sets with
their images and a data.yaml, so that they train as they are; Label Studio and CVAT get a file that
refers to images by their names below the folder that --source named.
"""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote

import numpy as np
import yaml

from commands.predict.outputs.output import write_file
from data.formats.writers.coco_writer import coco_document
from data.formats.writers.yolo_writer import yolo_rows
from data.sources.frame import Frame
from utils.report.drawing import encode_jpeg
from utils.runtime.files.atomic import cannot_write
from utils.structures.images import ImageArray, Record
from utils.structures.results import Detections

MODEL_VERSION = "focaldet"
_JPEG_QUALITY = 95
_COCO_IMAGES = "images/default"
_COCO_LABELS = "annotations/instances_default.json"
Image = Callable[[], ImageArray]


def record_of(frame: Frame, found: Detections) -> Record:
    """Return the detections in a picture as its labels."""
    boxes = found.boxes.numpy()
    return Record(
        path=frame.source,
        image_id=frame.image_id,
        size=frame.size,
        boxes=boxes,
        labels=found.labels.numpy(),
        ignore=np.zeros(len(found), np.bool_),
        area=(boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]),
    )


def file_name(frame: Frame) -> str:
    """Return the name of the picture's file below its source, `/` between folders."""
    suffix = Path(frame.source).suffix if frame.pixels is None else ".jpg"
    return PurePosixPath(frame.numbered_name + suffix).as_posix()


@dataclass(slots=True)
class YoloPrelabels:
    """`images/train`, `labels/train`, `classes.txt`, `data.yaml`: what YOLO importers read."""

    folder: Path
    class_names: tuple[str, ...]

    def write(self, frame: Frame, image: Image, found: Detections) -> None:
        """Write image and label file of a picture."""
        _put_image(self.folder / "images" / "train" / file_name(frame), frame, image)
        text = "".join(f"{row}\n" for row in yolo_rows(record_of(frame, found)))
        write_file(self.folder / "labels" / "train" / f"{frame.numbered_name}.txt", text.encode())

    def close(self) -> None:
        """Write the class names and the YAML."""
        names = "".join(f"{name}\n" for name in self.class_names)
        write_file(self.folder / "classes.txt", names.encode())
        content = {"train": "images/train", "names": dict(enumerate(self.class_names))}
        write_file(self.folder / "data.yaml", _yaml(content))


@dataclass(slots=True)
class CocoPrelabels:
    """`images/default` and `annotations/instances_default.json`, with scores; `data.yaml`."""

    folder: Path
    class_names: tuple[str, ...]
    category_ids: Sequence[int]
    _pictures: dict[int, tuple[Record, str, list[float]]] = field(default_factory=dict, init=False)

    def write(self, frame: Frame, image: Image, found: Detections) -> None:
        """Write the image and keep its detections until `close`."""
        name = file_name(frame)
        _put_image(self.folder / _COCO_IMAGES / name, frame, image)
        scores = [round(score, 6) for score in found.scores.tolist()]
        self._pictures[frame.image_id] = record_of(frame, found), name, scores

    def close(self) -> None:
        """Write annotations and YAML."""
        pictures = [self._pictures[image_id] for image_id in sorted(self._pictures)]
        document = coco_document(
            [record for record, _, _ in pictures],
            names=[name for _, name, _ in pictures],
            class_names=self.class_names,
            category_ids=self.category_ids,
        )
        scores = [score for _, _, own in pictures for score in own]
        for annotation, score in zip(document["annotations"], scores, strict=True):
            annotation |= {"score": score, "segmentation": []}
        write_file(self.folder / _COCO_LABELS, (json.dumps(document) + "\n").encode())
        train = {"images": _COCO_IMAGES, "annotations": _COCO_LABELS}
        names = list(self.class_names)
        content = {"format": "coco", "train": train, "class_names": names}
        write_file(self.folder / "data.yaml", _yaml(content))


@dataclass(slots=True)
class LabelStudioTasks:
    """`tasks.json` with predictions, and `labels.xml`, the interface that shows them.

    Images are read from local storage: its document root has to be the folder that --source named.
    Boxes are percentages of the image as shown.
    """

    folder: Path
    class_names: tuple[str, ...]
    _tasks: list[dict[str, Any]] = field(default_factory=list, init=False)

    def write(self, frame: Frame, image: Image, found: Detections) -> None:
        """Keep the task of a picture until `close`."""
        rows = zip(found.boxes.tolist(), found.labels.tolist(), found.scores.tolist(), strict=True)
        results = [
            self._result(number, frame.size, box, label, score)
            for number, (box, label, score) in enumerate(rows)
        ]
        prediction = {
            "model_version": MODEL_VERSION,
            "score": round(float(found.scores.mean()), 6) if len(found) else 0.0,
            "result": results,
        }
        address = f"/data/local-files/?d={quote(file_name(frame))}"
        self._tasks.append({"data": {"image": address}, "predictions": [prediction]})

    def close(self) -> None:
        """Write tasks and interface."""
        text = json.dumps(self._tasks, ensure_ascii=False) + "\n"
        write_file(self.folder / "tasks.json", text.encode())
        view = ElementTree.Element("View")
        ElementTree.SubElement(view, "Image", name="image", value="$image")
        labels = ElementTree.SubElement(view, "RectangleLabels", name="label", toName="image")
        for name in self.class_names:
            ElementTree.SubElement(labels, "Label", value=name)
        ElementTree.indent(view)
        write_file(self.folder / "labels.xml", ElementTree.tostring(view, encoding="utf-8"))

    def _result(
        self, number: int, size: tuple[int, int], box: Sequence[float], label: int, score: float
    ) -> dict[str, Any]:
        height, width = size
        x1, y1, x2, y2 = box
        return {
            "id": f"box{number}",
            "type": "rectanglelabels",
            "from_name": "label",
            "to_name": "image",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "score": round(score, 6),
            "value": {
                "x": 100 * x1 / width,
                "y": 100 * y1 / height,
                "width": 100 * (x2 - x1) / width,
                "height": 100 * (y2 - y1) / height,
                "rotation": 0,
                "rectanglelabels": [self.class_names[label]],
            },
        }


@dataclass(slots=True)
class CvatAnnotations:
    """`annotations.xml`, the format "CVAT for images 1.1"; boxes in pixels, source auto."""

    folder: Path
    class_names: tuple[str, ...]
    _images: list[ElementTree.Element] = field(default_factory=list, init=False)

    def write(self, frame: Frame, image: Image, found: Detections) -> None:
        """Keep the boxes of a picture until `close`."""
        height, width = frame.size
        element = ElementTree.Element(
            "image",
            id=str(len(self._images)),
            name=file_name(frame),
            width=str(width),
            height=str(height),
        )
        for box, label in zip(found.boxes.tolist(), found.labels.tolist(), strict=True):
            corners = zip(("xtl", "ytl", "xbr", "ybr"), box, strict=True)
            attributes = {"label": self.class_names[label], "source": "auto", "occluded": "0"}
            attributes |= {name: f"{value:.2f}" for name, value in corners}
            ElementTree.SubElement(element, "box", {**attributes, "z_order": "0"})
        self._images.append(element)

    def close(self) -> None:
        """Write the file."""
        document = ElementTree.Element("annotations")
        ElementTree.SubElement(document, "version").text = "1.1"
        task = ElementTree.SubElement(ElementTree.SubElement(document, "meta"), "task")
        labels = ElementTree.SubElement(task, "labels")
        for name in self.class_names:
            label = ElementTree.SubElement(labels, "label")
            ElementTree.SubElement(label, "name").text = name
            ElementTree.SubElement(label, "attributes")
        document.extend(self._images)
        ElementTree.indent(document)
        content = ElementTree.tostring(document, encoding="utf-8", xml_declaration=True)
        write_file(self.folder / "annotations.xml", content)


def _put_image(target: Path, frame: Frame, image: Image) -> None:
    """Copy a still picture; a frame of a video becomes a JPEG."""
    if frame.pixels is not None:
        write_file(target, encode_jpeg(image(), _JPEG_QUALITY))
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(frame.source, target)
    except OSError as error:
        raise cannot_write(target, error) from error


def _yaml(content: dict[str, Any]) -> bytes:
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True).encode()
