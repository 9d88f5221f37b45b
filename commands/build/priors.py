"""Priors of the head, counted from the labels and their assignment."""

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from configs.reading.load import LoadedExperiment
from configs.schema.loss import LossSettings
from data.anchors import label_statistics
from data.images.letterbox import fit_into
from data.records.load import Split
from models.assign import build_assigner
from models.detector import Detector
from models.heads.priors import Priors
from utils.runtime.errors import UserError
from utils.structures.batch import Targets
from utils.structures.images import Record
from utils.structures.predictions import Predictions

logger = logging.getLogger(__name__)

COUNTED_IMAGES = 1024
"""Maximum number of images whose positives are counted; of more, evenly spaced ones."""
IMAGES_AT_A_TIME = 32


def head_priors(loaded: LoadedExperiment, detector: Detector, split: Split) -> Priors:
    """Return the priors of the head according to `model.prior`.

    Raises:
        UserError: objects are to be counted where there are none.
    """
    experiment = loaded.experiment
    image_size = experiment.train.image_size
    if experiment.model.prior != "counted":
        return Priors(image_size=image_size, has_prior=experiment.model.prior != "none")
    statistics = label_statistics(split.records, len(split.class_names))
    if not statistics.objects_per_image:
        raise UserError("model.prior=counted: the training split has no objects; use fixed")
    priors = Priors(
        class_frequency=statistics.class_counts,
        objects_per_image=statistics.objects_per_image,
        image_size=image_size,
    )
    if detector.head.has_objectness:
        logger.info("prior counted: %.2f objects per image", statistics.objects_per_image)
        return priors
    shares = positive_shares(split.records, detector, experiment.loss, image_size=image_size)
    logger.info("prior counted: shares of cells %s", ", ".join(f"{share:.2e}" for share in shares))
    return replace(priors, positive_share=shares)


def positive_shares(
    records: Sequence[Record], detector: Detector, loss: LossSettings, *, image_size: int
) -> list[float]:
    """Return the share of cells that are assigned to an object of each class, (C,).

    Counted by the assigner on images as validation frames them, without augmentation; cells it
    ignores do not count. For a dynamic assigner, whose predictions mean nothing yet, every object
    counts as one cell.

    Args:
        records: images with labels, at least one.
        detector: its anchors, strides and classes are read.
        loss: the assigner is read.
        image_size: side of the network input, pixels.
    """
    assigner = None if loss.assigner.reads_predictions else build_assigner(loss.assigner)
    step = max(1, len(records) // COUNTED_IMAGES)
    chosen = records[::step]
    positives = torch.zeros(detector.num_classes, dtype=torch.int64)
    counted = 0
    for start in range(0, len(chosen), IMAGES_AT_A_TIME):
        part = chosen[start : start + IMAGES_AT_A_TIME]
        targets = _targets(part, image_size)
        if assigner is None:
            positives += torch.bincount(targets.labels, minlength=detector.num_classes)
            counted += len(part) * sum(map(math.prod, _shapes(detector, image_size)))
            continue
        assignment = assigner(_blank_predictions(detector, len(part), image_size), targets)
        for level, shape in zip(assignment.levels, _shapes(detector, image_size), strict=True):
            labels = targets.labels[level.target[level.valid]]
            positives += torch.bincount(labels, minlength=detector.num_classes)
            counted += len(part) * int(np.prod(shape))
            if level.ignored is not None:
                counted -= int(level.ignored.sum())
    return [count / max(counted, 1) for count in positives.tolist()]


def _targets(records: Sequence[Record], image_size: int) -> Targets:
    """Return the objects that are trained on, in the frame of a square network input."""
    boxes, labels, images = [np.zeros((0, 4))], [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for index, record in enumerate(records):
        letterbox = fit_into(record.size, image_size, (image_size, image_size))
        own = record.boxes[~record.ignore].astype(np.float64)
        boxes.append(letterbox.meta(record.path, record.image_id).to_network(own))
        labels.append(record.labels[~record.ignore])
        images.append(np.full(len(own), index))
    return Targets(
        boxes=_tensor(boxes).float(),
        labels=_tensor(labels).long(),
        image_index=_tensor(images).long(),
    )


def _tensor(parts: Sequence[Any]) -> Tensor:
    return torch.from_numpy(np.concatenate(parts))


def _shapes(detector: Detector, image_size: int) -> list[tuple[int, int, int]]:
    """Return predictions per cell, rows and columns (A, H, W) of each level."""
    cells = [-(-image_size // stride) for stride in detector.strides]
    return [(detector.head.num_anchors, count, count) for count in cells]


def _blank_predictions(detector: Detector, num_images: int, image_size: int) -> Predictions:
    """Return predictions of the right shapes without memory; static assigners need no values."""
    channels = detector.head.decoder.num_channels(detector.num_classes)
    return Predictions(
        levels=tuple(
            torch.zeros(()).expand(num_images, *shape, channels)
            for shape in _shapes(detector, image_size)
        ),
        anchors=detector.anchors,
        strides=detector.strides,
        decoder=detector.head.decoder,
    )
