"""COCO AP and AR: by hotcoco, fast, or by pycocotools, the reference.

Both give the same arrays, bit for bit (tested); `CocoNumbers` sums them up as pycocotools does.
Ignored objects, crowds or difficult ones, are COCO crowds: a detection that is to at least the IoU
threshold *within* one, and has no better match, is neither a true nor a false positive.
"""

import contextlib
import io
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from utils.metrics.rows import DetectionRows, Floats, TruthRows

logger = logging.getLogger(__name__)

SIZES = ("small", "medium", "large")
"""Object area up to 32^2, between, and from 96^2 square pixels; edges belong to both."""
MAX_DETECTIONS = (1, 10, 100)
"""Numbers of detections per image and class at which AR is reported; AP uses the last."""
_ABSENT = -1.0
_NOT_FAULTS = (KeyboardInterrupt, SystemExit, MemoryError)


@dataclass(frozen=True, slots=True, kw_only=True)
class CocoNumbers:
    """COCO's summary; -1 where the data have nothing to evaluate, as in pycocotools.

    stats (12,): AP, AP50, AP75, AP small, medium, large, AR with 1, 10, 100 detections, AR small,
    medium, large. class_ap (C,) and class_ap50 (C,) over all sizes. precision50 (101, C): precision
    at IoU 0.5 where recall reaches 0, 0.01 ... 1, whose mean is class_ap50.
    """

    stats: Floats
    class_ap: Floats
    class_ap50: Floats
    precision50: Floats

    @classmethod
    def from_curves(cls, precision: Floats, recall: Floats) -> "CocoNumbers":
        """Sum up the arrays of `COCOeval.accumulate`.

        Args:
            precision: (10 IoU thresholds, 101 recalls, C, 4 areas, 3 detection limits).
            recall: (10, C, 4, 3).
        """
        overall = precision[..., 0, -1]
        return cls(
            stats=np.array(
                [
                    _mean(overall),
                    _mean(overall[0]),
                    _mean(overall[5]),
                    *(_mean(precision[..., size, -1]) for size in (1, 2, 3)),
                    *(_mean(recall[..., 0, limit]) for limit in (0, 1, 2)),
                    *(_mean(recall[..., size, -1]) for size in (1, 2, 3)),
                ]
            ),
            class_ap=np.array([_mean(overall[:, :, label]) for label in range(overall.shape[2])]),
            class_ap50=np.array([_mean(overall[0, :, label]) for label in range(overall.shape[2])]),
            precision50=overall[0],
        )


class Judge(Protocol):
    """Computes COCO's numbers; images and classes are counted from 0 in the rows."""

    def __call__(self, truths: TruthRows, detections: DetectionRows) -> CocoNumbers:
        """Return AP and AR of `detections` against `truths`."""
        ...


def judge_with_hotcoco(truths: TruthRows, detections: DetectionRows) -> CocoNumbers:
    """Evaluate with hotcoco: columns go in as they are, no dictionary per box."""
    evaluation = hotcoco_evaluation(truths, detections)
    evaluation.accumulate()
    return _summary(evaluation.eval)


def judge_with_fallback(truths: TruthRows, detections: DetectionRows) -> CocoNumbers:
    """Evaluate with hotcoco; with pycocotools where it fails or returns invalid arrays.

    The log says so: the numbers are the same, only slower.
    """
    try:
        numbers = judge_with_hotcoco(truths, detections)
        _check_sense(numbers, truths)
        return numbers
    # BaseException: a panic of compiled Rust is not an Exception, and must not cost the evaluation.
    except BaseException as error:
        if isinstance(error, _NOT_FAULTS):
            raise
        logger.warning(
            "hotcoco failed (%s: %s); pycocotools is used instead, which takes longer",
            type(error).__name__,
            str(error).partition("\n")[0][:200],
        )
        return judge_with_pycocotools(truths, detections)


def _check_sense(numbers: CocoNumbers, truths: TruthRows) -> None:
    """Raise ValueError unless all classes were evaluated and every number is one COCO can give."""
    if numbers.class_ap.shape != (truths.num_classes,):
        raise ValueError(f"{len(numbers.class_ap)} of {truths.num_classes} classes were evaluated")
    for values in (numbers.stats, numbers.class_ap, numbers.class_ap50):
        if not ((values == _ABSENT) | ((values >= 0) & (values <= 1 + 1e-9))).all():
            raise ValueError("a number is outside of 0 to 1")


_owner: int | None = None
"""The process that hotcoco's threads belong to."""


def _require_threads() -> None:
    """Raise RuntimeError in a child forked after hotcoco was used: it would wait for ever for
    threads that only its parent has.
    """
    global _owner
    if _owner is None:
        _owner = os.getpid()
    if _owner != os.getpid():
        raise RuntimeError("its threads stayed in the process that this one was forked from")


def hotcoco_evaluation(truths: TruthRows, detections: DetectionRows) -> Any:
    """Return hotcoco's COCOeval with all images matched, for its further statistics.

    Raises:
        RuntimeError: this process was forked from one that had used hotcoco.
    """
    from hotcoco import COCO, COCOeval

    _require_threads()

    truth_set = COCO.from_arrays(
        _images(truths),
        _categories(truths),
        truths.image_index,
        truths.labels + 1,
        truths.boxes,
        area=truths.area,
        iscrowd=truths.ignore,
    )
    rows = np.column_stack(
        (detections.image_index, detections.boxes, detections.scores, detections.labels + 1)
    )
    evaluation = COCOeval(truth_set, truth_set.load_res(rows.astype(np.float64)), "bbox")
    evaluation.evaluate()
    return evaluation


def judge_with_pycocotools(truths: TruthRows, detections: DetectionRows) -> CocoNumbers:
    """Evaluate with pycocotools: the reference implementation, about a hundred times slower."""
    from pycocotools.cocoeval import COCOeval

    truth_annotations = _annotations(truths)
    for annotation, area, ignore in zip(
        truth_annotations, truths.area.tolist(), truths.ignore.tolist(), strict=True
    ):
        annotation.update(area=area, iscrowd=int(ignore))
    found = _annotations(detections)
    for annotation, score in zip(found, detections.scores.tolist(), strict=True):
        width, height = annotation["bbox"][2:]
        annotation.update(area=width * height, iscrowd=0, score=score)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(
            _pycoco(truths, truth_annotations), _pycoco(truths, found), iouType="bbox"
        )
        evaluation.evaluate()
        evaluation.accumulate()
    return _summary(evaluation.eval)


JUDGES: Mapping[str, Judge] = {
    "hotcoco": judge_with_fallback,
    "pycocotools": judge_with_pycocotools,
}


def _summary(curves: Any) -> CocoNumbers:
    return CocoNumbers.from_curves(np.asarray(curves["precision"]), np.asarray(curves["recall"]))


def _mean(values: npt.NDArray[np.float64]) -> float:
    present = values[values > _ABSENT]
    return float(np.mean(present)) if len(present) else _ABSENT


def _images(truths: TruthRows) -> list[dict[str, Any]]:
    return [{"id": index} for index in range(truths.num_images)]


def _categories(truths: TruthRows) -> list[dict[str, Any]]:
    return [{"id": label + 1, "name": str(label)} for label in range(truths.num_classes)]


def _annotations(rows: TruthRows | DetectionRows) -> list[dict[str, Any]]:
    """COCO annotations; ids count from 1, because pycocotools takes a match with id 0 for none."""
    columns = (rows.image_index.tolist(), rows.labels.tolist(), rows.boxes.tolist())
    return [
        {"id": row, "image_id": image, "category_id": label + 1, "bbox": box}
        for row, (image, label, box) in enumerate(zip(*columns, strict=True), start=1)
    ]


def _pycoco(truths: TruthRows, annotations: list[dict[str, Any]]) -> Any:
    from pycocotools.coco import COCO

    coco = COCO()
    coco.dataset = {
        "images": _images(truths),
        "categories": _categories(truths),
        "annotations": annotations,
    }
    coco.createIndex()
    return coco
