"""Section `model`: which network, from which weights, with which anchors and priors."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from configs.schema.settings import Settings


class ModelSettings(Settings):
    """The network and how it starts."""

    graph: str = "models/yolov5n.yaml"
    """YAML of the network in layer-list form; relative to the stating YAML, then to configs/."""

    weights: str | None = None
    """Weights to start from (.safetensors of this program); null starts from scratch. Tensors whose
    name and shape fit are taken, the rest is reported."""

    anchors: Literal["graph", "auto"] | tuple[tuple[float, ...], ...] = "graph"
    """graph: as the graph states; auto: fitted to the training boxes, kept as given where they
    are no worse; or one list w, h, w, h, ... per level, in pixels at train.image_size."""

    prior: Literal["fixed", "counted", "none"] = "fixed"
    """Start value of objectness and class biases: fixed by formula (8 objects a 640 px image;
    without objectness 0.01 a class), counted from the training labels, or none: every score starts
    at 0.5 and the first steps are spent on background."""

    fuse: bool = True
    """Fold batch normalisation into the convolutions for validation and export; same detections,
    less time."""


PUBLISHED_MAX_RATIO = 4.0
"""Ratio of sides up to which anchors count as similar to a box where the assigner has no limit."""


class AssignerSettings(Settings):
    """What all assigners share."""

    needs_anchors: ClassVar[bool] = False
    """It matches anchors, which not every head has."""
    reads_predictions: ClassVar[bool] = False
    """It decides by what the network predicts, so nothing can be counted before training."""

    @property
    def anchor_limit(self) -> float:
        """Ratio of sides up to which statistics of anchors count an anchor as similar to a box."""
        return PUBLISHED_MAX_RATIO


class AnchorRatioAssignerSettings(AssignerSettings):
    """A target goes to every anchor of similar size, in its cell and the two nearest cells."""

    needs_anchors = True

    name: Literal["anchor_ratio"] = "anchor_ratio"

    max_ratio: float = Field(default=4.0, gt=1)
    """Largest ratio between a side of the target and the anchor's, either way round, that still
    matches."""

    @property
    def anchor_limit(self) -> float:
        """The limit itself."""
        return self.max_ratio


class IouAssignerSettings(AssignerSettings):
    """A target goes to every anchor box, centred on its cell, that overlaps it enough."""

    needs_anchors = True

    name: Literal["iou"]

    positive: float = Field(default=0.5, gt=0, le=1)
    """Smallest overlap (IoU) with which an anchor box is assigned to a target."""

    negative: float = Field(default=0.4, gt=0, le=1)
    """Overlap below which a cell is background; between it and positive, cells are ignored."""

    rescue: bool = True
    """Give every target its best anchor box, whatever the overlap; the paper has none of it, and
    never learns targets that fit no anchor."""

    @model_validator(mode="after")
    def _in_order(self) -> "IouAssignerSettings":
        if self.negative > self.positive:
            raise ValueError(
                f"negative ({self.negative}) must not exceed positive ({self.positive})"
            )
        return self

    @property
    def anchor_limit(self) -> float:
        """Ratio of sides beyond which no overlap of concentric boxes reaches `positive`."""
        return 1 / self.positive


Assigner = Annotated[AnchorRatioAssignerSettings | IouAssignerSettings, Field(discriminator="name")]
