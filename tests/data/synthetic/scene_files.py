"""Small labelled image files for tests of datasets and loaders."""

from pathlib import Path

import cv2
import numpy as np

from utils.structures.images import Record

SIZES = [(48, 64), (64, 48), (50, 50), (33, 77), (96, 128)]


def write_scenes(folder: Path, count: int, seed: int = 0) -> list[Record]:
    """Write `count` PNG scenes of plain rectangles on black and return their records.

    The rectangles do not overlap; red of each is 10 times its label, and labels differ within an
    image. Every fourth image is empty; every third rectangle is marked ignore.
    """
    rng = np.random.default_rng(seed)
    records = []
    for index in range(count):
        height, width = SIZES[index % len(SIZES)]
        image = np.zeros((height, width, 3), np.uint8)
        boxes, labels = [], []
        for slot in range(0 if index % 4 == 3 else 4):
            left, top = (slot % 2) * width // 2, (slot // 2) * height // 2
            x1, y1 = left + rng.integers(1, 5), top + rng.integers(1, 5)
            x2, y2 = left + rng.integers(10, width // 2), top + rng.integers(10, height // 2)
            label = 5 * slot + int(rng.integers(5, 10))
            image[y1:y2, x1:x2, 0] = 10 * label
            boxes.append((x1, y1, x2, y2))
            labels.append(label)
        path = folder / f"{index}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        rows = np.array(boxes, np.float32).reshape(-1, 4)
        records.append(
            Record(
                path=str(path),
                image_id=100 + index,
                size=(height, width),
                boxes=rows,
                labels=np.array(labels, np.int64),
                ignore=np.arange(len(rows)) % 3 == 2,
                area=np.ones(len(rows), np.float32),
            )
        )
    return records
