"""What a training step minimises: focal loss and the detection criterion that uses it."""

from models.losses.build import build_criterion
from models.losses.criterion import DetectionCriterion, Gains
from models.losses.focal import FocalLoss

__all__ = ["DetectionCriterion", "FocalLoss", "Gains", "build_criterion"]
