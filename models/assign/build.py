"""From the settings of an assigner to the assigner: one line each."""

from collections.abc import Callable
from typing import Any

from configs.schema import model as settings_of
from models.assign.anchor_ratio import AnchorRatioAssigner
from models.assign.assigner import Assigner
from models.assign.dynamic_k import SimOtaAssigner, SoftLabelAssigner
from models.assign.iou import IouAssigner
from models.assign.task_aligned import TaskAlignedAssigner
from models.custom import built

ASSIGNERS: dict[type[settings_of.AssignerSettings], Callable[[Any], Assigner]] = {
    settings_of.AnchorRatioAssignerSettings: lambda s: AnchorRatioAssigner(max_ratio=s.max_ratio),
    settings_of.IouAssignerSettings: lambda s: IouAssigner(
        positive=s.positive, negative=s.negative, rescue=s.rescue
    ),
    settings_of.TaskAlignedAssignerSettings: lambda s: TaskAlignedAssigner(
        alpha=s.alpha, beta=s.beta, topk=s.topk, min_side=s.min_side, rescue=s.rescue
    ),
    settings_of.SimOtaAssignerSettings: lambda s: SimOtaAssigner(
        candidates=s.candidates, radius=s.radius, num_overlaps=s.num_overlaps
    ),
    settings_of.SoftLabelAssignerSettings: lambda s: SoftLabelAssigner(
        points=s.points, num_overlaps=s.num_overlaps
    ),
    settings_of.CustomAssignerSettings: lambda s: built(s.object, s.arguments),
    settings_of.CustomAnchorAssignerSettings: lambda s: built(s.object, s.arguments),
}


def build_assigner(settings: settings_of.AssignerSettings) -> Assigner:
    """Return the assigner of section `loss.assigner`."""
    return ASSIGNERS[type(settings)](settings)
