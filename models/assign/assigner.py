"""The protocol of assigners: which cells are assigned to which targets, apart from the loss."""

from typing import Protocol

from torch import Tensor

from utils.structures.batch import Targets
from utils.structures.predictions import Assignment, Predictions


class Assigner(Protocol):
    """Assigns cells to targets. A static assigner needs only shapes, strides and anchors of the
    predictions; a dynamic one (SimOTA, task-aligned) decodes them, in float32 and without gradient.
    """

    def __call__(self, predictions: Predictions, targets: Targets) -> Assignment:
        """Return the matches of every level, with `quality` where targets are soft; no gradient.

        Args:
            predictions: raw output of the network, in any precision, part of its graph.
            targets: T targets of the batch; T may be 0.
        """
        ...


def anchors_by_level(predictions: Predictions) -> Tensor:
    """Return the anchors (L, A, 2) in pixels.

    Raises:
        ValueError: the head has none.
    """
    if predictions.anchors is None:
        raise ValueError("this assigner matches anchors, and the head has none")
    return predictions.anchors
