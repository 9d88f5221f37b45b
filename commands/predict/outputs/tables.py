"""Detections as text: YOLO label files, a CSV table, COCO results."""

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from commands.predict.outputs.output import write_file
from data.formats.writers.yolo_writer import yolo_rows
from data.sources.frame import Frame
from utils.metrics.rows import detection_rows
from utils.runtime.files.atomic import cannot_write, write_atomically
from utils.runtime.printable import csv_cell
from utils.structures.images import ImageArray, Record
from utils.structures.results import Detections

COLUMNS = ("image", "frame", "image_id", "class", "label", "score", "x1", "y1", "x2", "y2")


@dataclass(frozen=True, slots=True)
class YoloLabels:
    """One file per picture, `folder/name.txt`, that training reads as labels; scores left out.

    A picture without detections gets an empty file.
    """

    folder: Path

    def write(self, frame: Frame, image: Callable[[], ImageArray], found: Detections) -> None:
        """Write the label file of a picture."""
        record = Record(
            path=frame.source,
            image_id=frame.image_id,
            size=frame.size,
            boxes=found.boxes.numpy(),
            labels=found.labels.numpy(),
            ignore=np.zeros(len(found), np.bool_),
            area=np.zeros(len(found), np.float32),
        )
        text = "".join(f"{row}\n" for row in yolo_rows(record))
        write_file(self.folder / f"{frame.numbered_name}.txt", text.encode())

    def close(self) -> None:
        """Do nothing: every file is complete."""


class CsvTable:
    """One row per detection; boxes in pixels with two decimals.

    Rows are on disk when `write` returns. `frame` is empty for still pictures.
    """

    def __init__(self, path: Path, class_names: tuple[str, ...]) -> None:
        try:
            self._file = path.open("w", encoding="utf-8", errors="backslashreplace", newline="")
        except OSError as error:
            raise cannot_write(path, error) from error
        self._rows = csv.writer(self._file)
        self._rows.writerow(COLUMNS)
        self._class_names = class_names

    def write(self, frame: Frame, image: Callable[[], ImageArray], found: Detections) -> None:
        """Append the detections of a picture."""
        number = "" if frame.number is None else frame.number
        for box, score, label in zip(
            found.boxes.tolist(), found.scores.tolist(), found.labels.tolist(), strict=True
        ):
            picture = (csv_cell(frame.source), number, frame.image_id)
            corners = [f"{corner:.2f}" for corner in box]
            name = csv_cell(self._class_names[label])
            self._rows.writerow([*picture, name, label, f"{score:.6f}", *corners])
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(slots=True)
class CocoResults:
    """A JSON file in COCO's result format, images by ascending id, rounded as evaluation rounds.

    So an evaluator that reads the file uses exactly the numbers of val.py.
    """

    path: Path
    category_ids: Sequence[int]
    """Category id of each class index."""
    _rows: dict[int, list[dict[str, Any]]] = field(default_factory=dict, init=False)

    def write(self, frame: Frame, image: Callable[[], ImageArray], found: Detections) -> None:
        """Keep the detections of a picture until `close`."""
        rows = detection_rows(0, found)
        columns = (rows.labels.tolist(), rows.boxes.tolist(), rows.scores.tolist())
        self._rows[frame.image_id] = [
            {
                "image_id": frame.image_id,
                "category_id": self.category_ids[label],
                "bbox": box,
                "score": score,
            }
            for label, box, score in zip(*columns, strict=True)
        ]

    def close(self) -> None:
        """Write the file."""
        rows = [row for image_id in sorted(self._rows) for row in self._rows[image_id]]
        write_atomically(self.path, (json.dumps(rows) + "\n").encode())
