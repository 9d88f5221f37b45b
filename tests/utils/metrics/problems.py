"""Small evaluation problems: made by hand, drawn by hypothesis, or read from a COCO JSON."""

import gzip
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st

from utils.metrics.evaluator import DetectionEvaluator
from utils.structures.images import Record
from utils.structures.results import Detections

Box = tuple[float, float, float, float]


def record(
    image_id: int,
    boxes: Sequence[Box] = (),
    labels: Sequence[int] = (),
    ignore: Sequence[bool] | None = None,
    area: Sequence[float] | None = None,
) -> Record:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    own_area = np.prod(corners[:, 2:] - corners[:, :2], axis=1)
    return Record(
        path=f"{image_id}.jpg",
        image_id=image_id,
        size=(480, 640),
        boxes=corners,
        labels=np.array(labels, np.int64),
        ignore=np.array([False] * len(labels) if ignore is None else ignore, np.bool_),
        area=own_area if area is None else np.array(area, np.float32),
    )


def detections(
    boxes: Sequence[Box] = (), scores: Sequence[float] = (), labels: Sequence[int] = ()
) -> Detections:
    return Detections(
        boxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.int64),
    )


@dataclass(frozen=True, kw_only=True)
class Problem:
    truths: list[Record]
    found: list[Detections]
    num_classes: int

    def evaluator(self, judge: Any = "hotcoco", threshold: float = 0.3) -> DetectionEvaluator:
        """Return an evaluator that has seen everything."""
        evaluator = DetectionEvaluator(
            truths=self.truths,
            class_names=[f"class {label}" for label in range(self.num_classes)],
            judge=judge,
            report_threshold=threshold,
        )
        evaluator.update([one.image_id for one in self.truths], self.found)
        return evaluator


GRID = st.integers(0, 6)
SCORES = st.sampled_from([0.1, 0.25, 0.3, 0.5, 0.900001, 0.9, 1.0])
AREAS = st.sampled_from([1023.0, 1024.0, 1025.0, 9215.0, 9216.0, 9217.0, 1e10, 0.0])


@st.composite
def boxes_on_a_grid(draw: st.DrawFn) -> Box:
    """Few distinct boxes of side 0, 16 ... 96: equal overlaps and area edges are frequent."""
    x, y, width, height = draw(GRID), draw(GRID), draw(GRID), draw(GRID)
    return (x * 16.0, y * 16.0, (x + width) * 16.0, (y + height) * 16.0)


@st.composite
def problems(draw: st.DrawFn, max_images: int = 4, max_boxes: int = 6) -> Problem:
    num_classes = draw(st.integers(1, 3))
    labels = st.integers(0, num_classes - 1)
    image_ids = draw(st.lists(st.integers(0, 2**40), unique=True, max_size=max_images))
    truths, found = [], []
    for image_id in image_ids:
        rows = draw(
            st.lists(st.tuples(boxes_on_a_grid(), labels, st.booleans(), AREAS), max_size=max_boxes)
        )
        use_own_area = draw(st.booleans())
        boxes, classes, ignore, area = zip(*rows, strict=True) if rows else ((), (), (), ())
        truths.append(record(image_id, boxes, classes, ignore, None if use_own_area else area))
        guesses = boxes_on_a_grid()
        if boxes:
            guesses = st.one_of(guesses, st.sampled_from(boxes))
        guessed = draw(st.lists(st.tuples(guesses, SCORES, labels), max_size=max_boxes))
        found.append(detections(*zip(*guessed, strict=True)) if guessed else detections())
    return Problem(truths=truths, found=found, num_classes=num_classes)


LONG_DECIMALS = st.integers(0, 400_000).map(lambda v: v / 1000.0 * 1.0000567)
"""Coordinates that float32 cannot hold and that end near halves of the last decimal kept."""
NEAR_HALVES = st.sampled_from([0.1234565, 0.1234564, 0.1234566, 0.5000005, 1e-7, 0.9999995])


@st.composite
def boxes_of_any_decimals(draw: st.DrawFn) -> Box:
    x, y = draw(LONG_DECIMALS), draw(LONG_DECIMALS)
    width, height = draw(st.sampled_from([0.0004, 0.001, 31.9996, 32.0, 96.0004, 200.3333])), 32.0
    return (x, y, x + width, y + height)


@st.composite
def crowded_problems(draw: st.DrawFn) -> Problem:
    """More detections of a class than are counted, decimals that are cut, classes far apart."""
    num_classes = draw(st.sampled_from([1, 2, 5]))
    labels = st.sampled_from([0, num_classes - 1])
    truths, found = [], []
    for image_id in draw(st.lists(st.integers(0, 2**40), unique=True, min_size=1, max_size=3)):
        rows = draw(st.lists(st.tuples(boxes_of_any_decimals(), labels, st.booleans()), max_size=4))
        boxes, classes, ignore = zip(*rows, strict=True) if rows else ((), (), ())
        truths.append(record(image_id, boxes, classes, ignore))
        guesses = st.one_of(boxes_of_any_decimals(), st.sampled_from(boxes or ((0, 0, 9, 9),)))
        score = st.one_of(NEAR_HALVES, SCORES)
        guessed = draw(st.lists(st.tuples(guesses, score, labels), min_size=1, max_size=5))
        copies = draw(st.sampled_from([1, 1, 9, 10, 11, 99, 101, 120]))
        found.append(detections(*zip(*(guessed * copies), strict=True)))
    return Problem(truths=truths, found=found, num_classes=num_classes)


def random_problem(seed: int, *, num_images: int, per_image: int, num_classes: int) -> Problem:
    """Truths anywhere, ten percent ignored; detections are jittered truths and noise."""
    rng = np.random.default_rng(seed)
    truths, found = [], []
    for image_id in rng.permutation(10 * num_images)[:num_images].tolist():
        corners = rng.uniform(0, 400, (rng.integers(0, per_image + 1), 2))
        boxes = np.concatenate([corners, corners + rng.lognormal(4, 1, corners.shape)], axis=1)
        labels = rng.integers(0, num_classes, len(boxes))
        truths.append(record(image_id, boxes, labels, rng.random(len(boxes)) < 0.1))
        noise = rng.uniform(0, 300, (per_image, 2))
        guesses = np.concatenate(
            [
                _jittered(np.repeat(boxes, 2, axis=0), rng),
                np.concatenate([noise, noise + rng.lognormal(4, 1, noise.shape)], axis=1),
            ]
        )
        guessed = np.concatenate([np.repeat(labels, 2), rng.integers(0, num_classes, per_image)])
        flipped = rng.random(len(guessed)) < 0.2
        guessed[flipped] = rng.integers(0, num_classes, flipped.sum())
        scores = np.round(rng.random(len(guesses)), 2)
        found.append(detections(guesses, scores, guessed))
    return Problem(truths=truths, found=found, num_classes=num_classes)


def _jittered(boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    moved = boxes + rng.normal(0, 5, boxes.shape)
    return np.concatenate([moved[:, :2], np.maximum(moved[:, :2], moved[:, 2:])], axis=1)


def read_coco(annotations: Path, results: Path) -> tuple[Problem, list[int]]:
    """Return the problem of a COCO JSON and a result file, and the category ids."""
    data = json.loads(annotations.read_text())
    category_ids = sorted(category["id"] for category in data["categories"])
    label_of = {category: label for label, category in enumerate(category_ids)}
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for annotation in data["annotations"]:
        by_image[annotation["image_id"]].append(annotation)
    found_in: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for result in json.loads(gzip.decompress(results.read_bytes())):
        found_in[result["image_id"]].append(result)
    truths, found = [], []
    for image in data["images"]:
        rows = by_image[image["id"]]
        truths.append(
            record(
                image["id"],
                [_corners(row["bbox"]) for row in rows],
                [label_of[row["category_id"]] for row in rows],
                [bool(row["iscrowd"]) for row in rows],
                [row["area"] for row in rows],
            )
        )
        results_here = found_in[image["id"]]
        found.append(
            detections(
                [_corners(row["bbox"]) for row in results_here],
                [row["score"] for row in results_here],
                [label_of[row["category_id"]] for row in results_here],
            )
        )
    return Problem(truths=truths, found=found, num_classes=len(category_ids)), category_ids


def _corners(box: Sequence[float]) -> Box:
    x, y, width, height = box
    return (x, y, x + width, y + height)
