"""Slow references: pycocotools from dictionaries with the data's own ids, and plain Python."""

import contextlib
import io
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.utils.metrics.problems import Problem


def pycocotools_on(data: dict[str, Any], results: list[dict[str, Any]]) -> COCOeval:
    """Return a finished COCOeval; results may be empty."""
    with contextlib.redirect_stdout(io.StringIO()):
        truths = COCO()
        truths.dataset = data
        truths.createIndex()
        if results:
            found = truths.loadRes(results)
        else:
            found = COCO()
            found.dataset = {**data, "annotations": []}
            found.createIndex()
        evaluation = COCOeval(truths, found, "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


def as_coco_json(problem: Problem, category_ids: list[int]) -> dict[str, Any]:
    """Return the truths as a COCO JSON holds them: own ids, decimals as people write them."""
    annotations = []
    for one in problem.truths:
        for box, label, ignore, area in zip(
            one.boxes.tolist(), one.labels.tolist(), one.ignore.tolist(), one.area, strict=True
        ):
            x1, y1, x2, y2 = box
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": one.image_id,
                    "category_id": category_ids[label],
                    "bbox": [round(v, 3) for v in (x1, y1, x2 - x1, y2 - y1)],
                    "area": float(area),
                    "iscrowd": int(ignore),
                }
            )
    return {
        "images": [{"id": one.image_id} for one in problem.truths],
        "categories": [{"id": category_id} for category_id in category_ids],
        "annotations": annotations,
    }


def class_ap(evaluation: COCOeval, label: int, thresholds: slice = slice(None)) -> float | None:
    precision = evaluation.eval["precision"][thresholds, :, label, 0, 2]
    present = precision[precision > -1]
    return float(np.mean(present)) if present.size else None


def verdicts_at_half(evaluation: COCOeval) -> dict[tuple[int, int], list[tuple[float, str]]]:
    """(image id, category id) -> sorted (score, "right" | "wrong" | "neutral"), IoU 0.5."""
    verdicts = {}
    for image in evaluation.evalImgs:
        if image is None or image["aRng"] != [0, 1e10]:
            continue
        rows = zip(image["dtScores"], image["dtMatches"][0], image["dtIgnore"][0], strict=True)
        verdicts[image["image_id"], image["category_id"]] = sorted(
            (score, "neutral" if ignore else "right" if matched else "wrong")
            for score, matched, ignore in rows
        )
    return verdicts


def slow_overlap(found: list[float], truth: list[float], ignore: bool) -> float:
    """Return IoU of two xywh boxes, or the share of `found` within an ignored truth."""
    width = min(found[0] + found[2], truth[0] + truth[2]) - max(found[0], truth[0])
    height = min(found[1] + found[3], truth[1] + truth[3]) - max(found[1], truth[1])
    if width <= 0 or height <= 0:
        return 0.0
    union = found[2] * found[3] + truth[2] * truth[3] - width * height
    return width * height / (found[2] * found[3] if ignore else union)


def slow_confusion(problem: Problem, results: list[dict[str, Any]], threshold: float) -> list[Any]:
    """Count one image and one detection after the other; results from `to_coco_results`, with
    class indices as category ids."""
    size = problem.num_classes + 1
    counts = [[0] * size for _ in range(size)]
    for one in problem.truths:
        truths = []
        for box, label, ignore in zip(
            one.boxes.tolist(), one.labels.tolist(), one.ignore.tolist(), strict=True
        ):
            xywh = [box[0], box[1], box[2] - box[0], box[3] - box[1]]
            truths.append(
                {"box": [round(v, 3) for v in xywh], "label": label, "ignore": ignore, "free": True}
            )
        mine = [row for row in results if row["image_id"] == one.image_id]
        for row in sorted(mine, key=lambda row: -row["score"]):
            if row["score"] >= threshold:
                _count_detection(row, truths, counts)
        for truth in truths:
            if truth["free"] and not truth["ignore"]:
                counts[truth["label"]][-1] += 1
    return counts


def _count_detection(row: dict[str, Any], truths: list[Any], counts: list[list[int]]) -> None:
    label = row["category_id"]
    near = [t for t in truths if slow_overlap(row["bbox"], t["box"], t["ignore"]) >= 0.5]
    excused = any(t["ignore"] and t["label"] == label for t in near)
    best: tuple[float, bool, int] | None = None
    for index, truth in enumerate(near):
        if truth["ignore"] or not truth["free"] or (excused and truth["label"] != label):
            continue
        overlap = slow_overlap(row["bbox"], truth["box"], False)
        key = (overlap, truth["label"] == label, index)
        if best is None or key > best:
            best = key
    if best is not None:
        near[best[2]]["free"] = False
        counts[near[best[2]]["label"]][label] += 1
    elif not excused:
        counts[-1][label] += 1


def slow_point(
    verdicts: list[tuple[float, bool]], num_truths: int, threshold: float
) -> tuple[float, float, float]:
    """Return precision, recall and F1 of (score, right) pairs kept at `threshold`."""
    kept = [right for score, right in verdicts if score >= threshold]
    precision = sum(kept) / len(kept) if kept else 0.0
    recall = sum(kept) / num_truths if num_truths else 0.0
    both = precision + recall
    return precision, recall, 2 * precision * recall / both if both else 0.0
