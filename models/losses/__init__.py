"""What a training step minimises: focal loss and the detection criterion that uses it."""

from models.losses.focal import FocalLoss

__all__ = ["FocalLoss"]
