"""The anchors of predictions, for assigners that match anchors."""

from torch import Tensor

from utils.structures.predictions import Predictions


def anchors_by_level(predictions: Predictions) -> Tensor:
    """Return the anchors (L, A, 2) in pixels.

    Raises:
        ValueError: the head has none.
    """
    if predictions.anchors is None:
        raise ValueError("this assigner matches anchors, and the head has none")
    return predictions.anchors
