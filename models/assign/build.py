"""From settings to the assigner they describe."""

from configs.schema.model import AnchorRatioAssigner as AnchorRatioSettings
from configs.schema.model import IouAssigner as IouSettings
from models.assign.anchor_ratio import AnchorRatioAssigner
from models.assign.iou import IouAssigner


def build_assigner(
    settings: AnchorRatioSettings | IouSettings,
) -> AnchorRatioAssigner | IouAssigner:
    """Return the assigner of section `loss.assigner`."""
    if isinstance(settings, IouSettings):
        return IouAssigner(
            positive=settings.positive, negative=settings.negative, rescue=settings.rescue
        )
    return AnchorRatioAssigner(max_ratio=settings.max_ratio)
