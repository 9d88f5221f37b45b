"""Section `model`: which network, from which weights, with which anchors and priors."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.schema.settings import Settings


class ModelSettings(Settings):
    """The network and how it starts."""

    graph: str = "models/yolov5n.yaml"
    """YAML of the network in layer-list form; relative to the YAML that sets it, then configs/."""

    weights: str | None = None
    """Weights to start from (.safetensors of this program); null starts from scratch. Tensors whose
    name and shape match are loaded, the others are reported."""

    anchors: Literal["graph", "auto"] | tuple[tuple[float, ...], ...] = "graph"
    """graph: those of the network's YAML; auto: fitted to the training boxes, unless those of the
    YAML match as well; or one list w, h, w, h, ... per level, in pixels at train.image_size."""

    prior: Literal["fixed", "counted", "none"] = "fixed"
    """Initial value of objectness and class biases: fixed by formula (8 objects per 640 px image;
    without objectness 0.01 per class), counted from the training labels, or none: every score
    starts at 0.5 and the first steps are spent on background."""

    fuse: bool = True
    """Fold batch normalisation into the convolutions for validation and export; same detections,
    less time."""


class AnchorRatioAssigner(Settings):
    """Assign a target to every anchor of similar size, in its cell and the two nearest cells."""

    name: Literal["anchor_ratio"] = "anchor_ratio"

    max_ratio: float = Field(default=4.0, gt=1)
    """Largest ratio between a side of the target and the anchor's, either way round, that still
    matches."""


class IouAssigner(Settings):
    """Assign a target to every anchor box, centred on its cell, that overlaps it enough."""

    name: Literal["iou"]

    positive: float = Field(default=0.5, gt=0, le=1)
    """Smallest IoU with which an anchor box is assigned to a target."""

    negative: float = Field(default=0.4, gt=0, le=1)
    """IoU below which an anchor box is background; between it and positive, it is ignored."""

    rescue: bool = True
    """Assign every target at least to its best anchor box, whatever the IoU; without this, as in
    the paper, targets that fit no anchor are never learned."""

    @model_validator(mode="after")
    def _in_order(self) -> "IouAssigner":
        if self.negative > self.positive:
            raise ValueError(
                f"negative ({self.negative}) must not exceed positive ({self.positive})"
            )
        return self

    @property
    def max_ratio(self) -> float:
        """Ratio of sides beyond which no overlap of concentric boxes reaches `positive`."""
        return 1 / self.positive


Assigner = Annotated[AnchorRatioAssigner | IouAssigner, Field(discriminator="name")]
