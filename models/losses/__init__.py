"""What a training step minimises: focal loss, its relatives, and the criterion that uses them."""

from models.losses.criterion.branch import Branch
from models.losses.criterion.build import build_criterion
from models.losses.criterion.criterion import DetectionCriterion
from models.losses.focal import FocalLoss

__all__ = ["Branch", "DetectionCriterion", "FocalLoss", "build_criterion"]
