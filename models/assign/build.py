"""From the settings of an assigner to the assigner: one line each."""

from collections.abc import Callable
from typing import Any

from configs.schema import model as settings_of
from models.assign.anchor_ratio import AnchorRatioAssigner
from models.assign.assigner import Assigner
from models.assign.iou import IouAssigner

ASSIGNERS: dict[type[settings_of.AssignerSettings], Callable[[Any], Assigner]] = {
    settings_of.AnchorRatioAssignerSettings: lambda s: AnchorRatioAssigner(max_ratio=s.max_ratio),
    settings_of.IouAssignerSettings: lambda s: IouAssigner(
        positive=s.positive, negative=s.negative, rescue=s.rescue
    ),
}


def build_assigner(settings: settings_of.AssignerSettings) -> Assigner:
    """Return the assigner of section `loss.assigner`."""
    return ASSIGNERS[type(settings)](settings)
