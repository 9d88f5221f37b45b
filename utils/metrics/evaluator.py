"""Collects detections image by image and turns them into an `EvalResult`."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
import torch

from utils.metrics.coco_ap import JUDGES, MAX_DETECTIONS, SIZES, CocoNumbers
from utils.metrics.error_types import confusion_matrix
from utils.metrics.matching import Matching, match, overlapping_pairs
from utils.metrics.operating_points import best_point, point_at
from utils.metrics.rows import (
    DetectionRows,
    TruthRows,
    batch_rows,
    join_detections,
    split_rows,
    truth_rows,
)
from utils.structures.images import Record
from utils.structures.results import ClassResult, Detections, EvalResult

Found = tuple[dict[int, DetectionRows], int, int, int]
"""Detections by position of their image, images at each of two limits, images that were cut."""
NOTED_SCORE = 0.05
"""What a limit costs below it is not worth a word: such detections are hardly ever right."""


class DetectionEvaluator:
    """Evaluates the detections of one split; `update` per batch, `compute` at the end.

    Every image of `truths` must be given to `update` exactly once, in any order, with all its
    detections: a missing or repeated image would silently change the metrics.

    AP and AR are computed by `judge`. Operating points, confusion matrix and counts use IoU 0.5 and
    all detections, not only the 100 per image and class that COCO's AP looks at.
    """

    def __init__(
        self,
        *,
        truths: Sequence[Record],
        class_names: Sequence[str],
        judge: Literal["hotcoco", "pycocotools"],
        report_threshold: float,
    ) -> None:
        """Initialise for the images of `truths`.

        Args:
            truths: records of the split, each with an `image_id` of its own; may be empty.
            class_names: names in order of class index.
            judge: library that computes AP and AR.
            report_threshold: score, 0 to 1, of the operating point "given" and of the confusion
                matrix.

        Raises:
            ValueError: an image id occurs twice, or a label is not a class.
        """
        records = sorted(truths, key=lambda record: record.image_id)
        self._image_ids = [record.image_id for record in records]
        self._positions = {image_id: index for index, image_id in enumerate(self._image_ids)}
        if len(self._positions) < len(records):
            raise ValueError("truths: an image_id occurs more than once")
        self._class_names = tuple(class_names)
        self._truths = truth_rows(records, num_classes=len(self._class_names))
        self._check_labels(self._truths.labels, "truths")
        self._judge = JUDGES[judge]
        self._report_threshold = report_threshold
        self.reset()

    def reset(self) -> None:
        """Forget all detections; the ground truth stays."""
        self._found: dict[int, DetectionRows] = {}
        self._at_candidate_cap = 0
        self._at_detection_cap = 0
        self._cut = 0

    def update(
        self,
        image_ids: Sequence[int],
        detections: Sequence[Detections],
        *,
        at_candidate_cap: Sequence[bool] = (),
        at_detection_cap: Sequence[bool] = (),
    ) -> None:
        """Add the detections of some images.

        Args:
            image_ids: the images.
            detections: of each, boxes in the frame of the original image.
            at_candidate_cap: whether each image had more candidates than NMS may look at.
            at_detection_cap: whether each image had more detections than are kept.

        Raises:
            ValueError: an image is unknown or came before, or a detection is not finite, inverted
                or of no class.
        """
        positions = [self._position(image_id) for image_id in image_ids]
        rows = batch_rows(positions, detections)
        self._check(rows)
        parts = split_rows(rows, [len(found) for found in detections])
        for image_id, position, part in zip(image_ids, positions, parts, strict=True):
            if position in self._found:
                raise ValueError(f"image {image_id} was given twice")
            self._found[position] = part
        self._at_candidate_cap += sum(map(bool, at_candidate_cap))
        self._at_detection_cap += sum(map(bool, at_detection_cap))
        self._cut += sum(
            bool(is_full and part.scores.min(initial=1.0) > NOTED_SCORE)
            for is_full, part in zip(at_detection_cap, parts, strict=False)
        )

    def join(self, gather: Callable[[Found], Sequence[Found]]) -> None:
        """Add the detections of other processes.

        Args:
            gather: collects the values of all processes; every process calls it.

        Raises:
            ValueError: two processes were given the same image.
        """
        parts = gather((self._found, self._at_candidate_cap, self._at_detection_cap, self._cut))
        self.reset()
        for found, at_candidate_cap, at_detection_cap, cut in parts:
            twice = self._found.keys() & found.keys()
            if twice:
                raise ValueError(f"image {self._image_ids[min(twice)]} was given twice")
            self._found |= found
            self._at_candidate_cap += at_candidate_cap
            self._at_detection_cap += at_detection_cap
            self._cut += cut

    def compute(self) -> EvalResult:
        """Return all metrics.

        Where the data have no object at all, headline AP and AR are 0.0, so that results can always
        be compared, and `EvalResult.is_defined` tells. By size and per class such entries are None.

        Raises:
            ValueError: images of the split were never given to `update`.
        """
        missing = len(self._image_ids) - len(self._found)
        if missing:
            raise ValueError(f"{missing} of {len(self._image_ids)} images were never evaluated")
        detections = self._all_detections()
        coco = self._judge(self._truths, detections)
        ranked = detections.best_first()
        pairs = overlapping_pairs(self._truths, ranked)
        per_class = match(self._truths, ranked, pairs, across_classes=False)
        across = match(self._truths, ranked, pairs, across_classes=True)
        confusion = confusion_matrix(self._truths, ranked, across, threshold=self._report_threshold)
        stats = [max(0.0, float(value)) for value in coco.stats]  # -1 where nothing exists
        return EvalResult(
            map50_95=stats[0],
            map50=stats[1],
            map75=stats[2],
            by_size={
                size: {"ap": _known(coco.stats[3 + row]), "ar": _known(coco.stats[9 + row])}
                for row, size in enumerate(SIZES)
            },
            average_recall={str(limit): stats[6 + row] for row, limit in enumerate(MAX_DETECTIONS)},
            per_class=self._class_results(coco, ranked, per_class),
            operating_points=self._operating_points(ranked, per_class),
            confusion=tuple(tuple(row) for row in confusion.tolist()),
            counts=self._counts(len(detections)),
        )

    @property
    def truths(self) -> TruthRows:
        """Ground truth as evaluated, images in ascending order of their id."""
        return self._truths

    @property
    def detections(self) -> DetectionRows:
        """Detections so far as evaluated, images in ascending order of their id."""
        return self._all_detections()

    def detections_of(self, image_id: int) -> Detections:
        """Return the detections of an image, rounded as evaluated; original frame."""
        rows = self._found[self._positions[image_id]]
        corners = np.concatenate([rows.boxes[:, :2], rows.boxes[:, :2] + rows.boxes[:, 2:]], axis=1)
        return Detections(
            boxes=torch.from_numpy(corners.astype(np.float32)),
            scores=torch.from_numpy(rows.scores.astype(np.float32)),
            labels=torch.from_numpy(rows.labels),
        )

    def to_coco_results(self, category_ids: Sequence[int]) -> list[dict[str, Any]]:
        """Return the detections so far in COCO's result format, images by ascending id.

        Args:
            category_ids: category id of each class index in the data's own JSON.
        """
        rows = self._all_detections()
        columns = (rows.image_index, rows.labels, rows.boxes, rows.scores)
        return [
            {
                "image_id": self._image_ids[image],
                "category_id": category_ids[label],
                "bbox": box,
                "score": score,
            }
            for image, label, box, score in zip(*(c.tolist() for c in columns), strict=True)
        ]

    def _all_detections(self) -> DetectionRows:
        return join_detections([self._found[position] for position in sorted(self._found)])

    def _position(self, image_id: int) -> int:
        if image_id not in self._positions:
            raise ValueError(f"image {image_id} is not among the truths")
        return self._positions[image_id]

    def _check(self, rows: DetectionRows) -> None:
        faults = {
            f": labels must be 0 to {len(self._class_names) - 1}, got": (rows.labels < 0)
            | (rows.labels >= len(self._class_names)),
            " are not finite": ~np.isfinite(rows.boxes).all(axis=1) | ~np.isfinite(rows.scores),
            ": a box has x2 < x1 or y2 < y1": (rows.boxes[:, 2:] < 0).any(axis=1),
        }
        for fault, wrong in faults.items():
            if wrong.any():
                first = int(np.argmax(wrong))
                image_id = self._image_ids[rows.image_index[first]]
                got = f" {rows.labels[first]}" if fault.endswith("got") else ""
                raise ValueError(f"detections of image {image_id}{fault}{got}")

    def _check_labels(self, labels: Any, owner: str) -> None:
        if len(labels) and not 0 <= labels.min() <= labels.max() < len(self._class_names):
            raise ValueError(
                f"{owner}: labels must be 0 to {len(self._class_names) - 1}, "
                f"got {labels.min()} to {labels.max()}"
            )

    def _counts(self, num_detections: int) -> dict[str, int]:
        num_ignored = int(self._truths.ignore.sum())
        return {
            "images": len(self._image_ids),
            "truths": len(self._truths.labels) - num_ignored,
            "ignored": num_ignored,
            "detections": num_detections,
            "images_at_candidate_cap": self._at_candidate_cap,
            "images_at_detection_cap": self._at_detection_cap,
            "images_cut": self._cut,
        }

    def _operating_points(
        self, detections: DetectionRows, matching: Matching
    ) -> dict[str, dict[str, float]]:
        judged = ~matching.neutral
        scores, right = detections.scores[judged], matching.truth[judged] >= 0
        num_truths = int((~self._truths.ignore).sum())
        given = point_at(scores, right, num_truths=num_truths, threshold=self._report_threshold)
        best = best_point(scores, right, num_truths=num_truths) or given
        return {"best_f1": asdict(best), "given": asdict(given)}

    def _class_results(
        self, coco: CocoNumbers, detections: DetectionRows, matching: Matching
    ) -> dict[str, ClassResult]:
        truth_labels = self._truths.labels[~self._truths.ignore]
        num_truths = np.bincount(truth_labels, minlength=len(self._class_names)).tolist()
        results = {}
        # Sorted once: a mask over all detections for every class would cost more than matching.
        by_label = np.argsort(detections.labels, kind="stable")
        starts = np.searchsorted(detections.labels[by_label], range(len(self._class_names) + 1))
        for label, name in enumerate(self._class_names):
            of_class = by_label[starts[label] : starts[label + 1]]
            judged = of_class[~matching.neutral[of_class]]
            right = matching.truth[judged] >= 0
            point = best_point(detections.scores[judged], right, num_truths=num_truths[label])
            results[name] = ClassResult(
                ap=_known(coco.class_ap[label]),
                ap50=_known(coco.class_ap50[label]),
                num_truths=num_truths[label],
                num_detections=len(of_class),
                precision=point.precision if point else None,
                recall=point.recall if point else None,
                f1=point.f1 if point else None,
                threshold=point.threshold if point else None,
            )
        return results


def _known(value: float) -> float | None:
    return float(value) if value >= 0 else None
