"""Detections of an image (`Detections`) and metrics of a split (`EvalResult`)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor

from utils.structures.boxes import check_boxes


@dataclass(frozen=True, slots=True, kw_only=True)
class Detections:
    """Objects found in one image, best score first; the variable's name tells the frame.

    boxes (K, 4) float32 xyxy pixels; scores (K,) float32 in [0, 1]; labels (K,) int64 class
    indices.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        check_boxes(self.boxes, "Detections.boxes")
        if self.scores.shape != (len(self.boxes),) or self.labels.shape != (len(self.boxes),):
            raise ValueError(
                f"Detections: {len(self.boxes)} boxes but scores {tuple(self.scores.shape)}, "
                f"labels {tuple(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls) -> "Detections":
        """Return detections of nothing."""
        return cls(
            boxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.int64)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassResult:
    """Metrics of one class; AP is None where the split has no object of the class."""

    ap: float | None
    ap50: float | None
    num_truths: int
    num_detections: int
    precision: float | None = None
    """At the score threshold that gives this class its best F1, IoU 0.5."""
    recall: float | None = None
    f1: float | None = None
    threshold: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalResult:
    """The metrics of one evaluation; all that reports read.

    AP and AR are COCO's (pycocotools' definition), in [0, 1]; None where nothing of that size or
    class exists in the data. Where the data have no object at all, AP and AR over everything are
    0.0 here, `is_defined` is false, and `to_json` has None in their place.
    """

    map50_95: float
    map50: float
    map75: float
    by_size: Mapping[str, Mapping[str, float | None]]
    """small, medium, large -> {"ap": ..., "ar": ...}."""
    average_recall: Mapping[str, float]
    """"1", "10", "100" -> average recall with that many detections per image."""
    per_class: Mapping[str, ClassResult]
    operating_points: Mapping[str, Mapping[str, float]]
    """"best_f1" and "given" -> {"threshold", "precision", "recall", "f1"} over all classes, IoU
    0.5."""
    confusion: tuple[tuple[int, ...], ...]
    """(C + 1, C + 1) counts, row = ground-truth class, column = detected class; the last of each is
    background."""
    counts: Mapping[str, int]
    """images, truths, ignored, detections, images_at_candidate_cap, images_at_detection_cap and
    images_cut, those of the latter that may have lost detections above a score of 0.05."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Wall time per stage, in seconds."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """Terms of the training loss on these images, mean over images; empty where it was not
    computed. Not part of `to_json`: weights alone, as in val.py, have no loss."""

    @property
    def is_defined(self) -> bool:
        """Whether the data have an object to be found: without one AP means nothing."""
        return self.counts.get("truths", 1) > 0

    def to_json(self) -> dict[str, Any]:
        """Return plain dictionaries, lists and numbers."""
        content = asdict(self)
        del content["losses"]
        if not self.is_defined:
            content |= dict.fromkeys(("map50_95", "map50", "map75"))
            content["average_recall"] = dict.fromkeys(self.average_recall)
        return content


def results_json(
    result: EvalResult,
    *,
    epochs: int | None,
    images_per_second: float | None,
    config_hash: str | None,
) -> dict[str, Any]:
    """Return the content of results.json, which training and val.py write alike.

    Args:
        result: metrics of the evaluated weights.
        epochs: epochs the weights were trained for; None where unknown.
        images_per_second: training images for a training run, evaluated images for val.py.
        config_hash: hash of the resolved configuration; None where there is none.
    """
    return {
        **result.to_json(),
        "epochs": epochs,
        "images_per_second": images_per_second,
        "config_hash": config_hash,
    }
