"""Section `eval`: post-processing of predictions and computation of metrics."""

from typing import Literal

from pydantic import Field

from configs.schema.settings import Settings


class EvalSettings(Settings):
    """Post-processing and metrics of validation, the same in training and in val.py."""

    score_threshold: float = Field(default=0.001, ge=0, lt=1)
    """Detections below this score are dropped, 0 to 1; low, because AP needs the whole curve."""

    iou_threshold: float = Field(default=0.6, gt=0, le=1)
    """Boxes of a class that overlap a better one by more than this IoU are dropped, 0 to 1."""

    max_detections: int = Field(default=300, ge=1)
    """Most detections kept per image, highest score first; images that reach it are counted."""

    max_candidates: int = Field(default=30000, ge=1)
    """Most candidates per image that enter NMS, highest score first; images that reach it are
    counted."""

    multi_label: bool = True
    """Keep every class of a cell above the score threshold; false keeps its best class only."""

    class_agnostic: bool = False
    """Boxes of different classes suppress each other too."""

    box_voting: float | None = Field(default=None, gt=0, lt=1)
    """Place each kept box by the mean of all boxes of its class that overlap it by more than this
    IoU, 0 to 1; null keeps the box of the best score."""

    batch_size: int = Field(default=16, ge=1)
    """Images per forward pass; does not change the result."""

    rectangular: bool = True
    """Pad each image to its own shape, in steps of the stride, instead of to a square."""

    judge: Literal["hotcoco", "pycocotools"] = "hotcoco"
    """Library that computes COCO AP; both give the same numbers, hotcoco about 100 times faster."""

    report_threshold: float = Field(default=0.25, ge=0, lt=1)
    """Score at which precision, recall and the confusion matrix are also reported, 0 to 1."""

    loss: bool = True
    """Compute the terms of the training loss on the validation images, too, with the weights that
    are evaluated: val_... in metrics.csv and a curve of the report. Changes no number of the
    training."""

    interval: int = Field(default=1, ge=1)
    """Validate every this many epochs, and after the last."""

    before_training: bool | Literal["auto"] = "auto"
    """Validate before the first epoch, too, as epoch 0: what the start is worth; auto: where
    model.weights know at least one class of the data. Changes no number of the training."""
