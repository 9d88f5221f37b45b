"""Assigners: which cells are assigned to which targets; apart from the loss, without gradient."""

from models.assign.anchor_ratio import AnchorRatioAssigner
from models.assign.assigner import Assigner
from models.assign.build import build_assigner
from models.assign.dynamic_k import SimOtaAssigner, SoftLabelAssigner
from models.assign.iou import IouAssigner
from models.assign.task_aligned import TaskAlignedAssigner

__all__ = [
    "AnchorRatioAssigner",
    "Assigner",
    "IouAssigner",
    "SimOtaAssigner",
    "SoftLabelAssigner",
    "TaskAlignedAssigner",
    "build_assigner",
]
