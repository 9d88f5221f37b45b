"""Section `model`: which network, from which weights, with which anchors and priors."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from configs.schema.settings import ObjectName, Settings

MAX_BINS = 64
"""Of a distribution."""


class ModelSettings(Settings):
    """The network and how it starts."""

    graph: str = "models/yolov5n.yaml"
    """YAML of the network in layer-list form; relative to the YAML that sets it, then to
    configs/."""

    name: str | None = None
    """What reports and lists call the network; null: as the file of its graph."""

    weights: str | None = None
    """Weights to start from (.safetensors of this program); null starts from scratch. Tensors with
    matching name and shape are loaded, the rest is reported."""

    anchors: Literal["graph", "auto"] | tuple[tuple[float, ...], ...] = "graph"
    """graph: as in the graph; auto: fitted to the training boxes, kept if the fitted ones are not
    better; or one list w, h, w, h, ... per level, in pixels at train.image_size."""

    bins: Literal["graph", "auto"] | Annotated[int, Field(ge=2, le=MAX_BINS)] = "graph"
    """Bins of each box side, for heads that code sides as distributions. Boxes cannot be larger
    than 2 x (bins - 1) cells of the coarsest level. graph: as in the graph; auto: those of
    model.weights, else those of the graph, or more where objects as large as the image need
    them."""

    prior: Literal["fixed", "counted", "none"] = "fixed"
    """Start value of objectness and class biases: fixed by formula (8 objects a 640 px image;
    without objectness 0.01 a class, with a Joint head 5 objects an image), counted from the
    training labels, or none: every score starts at 0.5 and the first steps are spent on
    background."""

    fuse: bool = True
    """Fold batch normalisation into the convolutions for validation and export; same detections,
    less time."""


PUBLISHED_MAX_RATIO = 4.0
"""Ratio of sides up to which anchors count as similar to a box where the assigner has no limit."""


class AssignerSettings(Settings):
    """Common settings of all assigners."""

    needs_anchors: ClassVar[bool] = False
    """It needs a head with anchors."""
    reads_predictions: ClassVar[bool] = False
    """It depends on the predictions, so assignments cannot be counted before training."""
    gives_quality: ClassVar[bool] = False
    """It gives each match a quality, for soft targets."""
    forbids_anchors: ClassVar[bool] = False
    """It needs a head with one prediction per cell."""

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
    """Assign every target to its best anchor box, at any overlap; the paper does not, and never
    learns targets that match no anchor."""

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


class PredictionAssignerSettings(AssignerSettings):
    """Common settings of dynamic assigners."""

    reads_predictions = True
    gives_quality = True
    forbids_anchors = True


class TaskAlignedAssignerSettings(PredictionAssignerSettings):
    """A target goes to the cells inside it that are best at score^alpha IoU^beta."""

    name: Literal["task_aligned"]

    alpha: float = Field(default=0.5, ge=0, le=10)
    """Exponent of the score of the target's class; 0.5 with beta 6 is usual, TOOD has 1."""

    beta: float = Field(default=6.0, gt=0, le=20)
    """Exponent of the overlap (IoU) of the predicted box."""

    topk: int = Field(default=10, ge=1, le=100)
    """Most cells that are assigned to a target; TOOD has 13."""

    min_side: float = Field(default=2.0, ge=0, le=16)
    """Sides of targets are enlarged to at least this many cells of the finest level, only to decide
    which cells are inside; 0: not enlarged, and targets without a cell centre are not learnt."""

    rescue: bool = True
    """Give a target without candidates the best aligned cell of the image."""


class SimOtaAssignerSettings(PredictionAssignerSettings):
    """A target goes to the k cells where its losses would be smallest, k the sum of overlaps."""

    name: Literal["simota"]

    candidates: Literal["box_or_center", "center"] = "box_or_center"
    """box_or_center: cells within any target or near any centre (paper); center: near any centre,
    as YOLOX does since 2023."""

    radius: float | None = Field(default=None, gt=0, le=16)
    """Distance up to which a cell is near a centre, in strides along both axes; null: 2.5, with
    candidates center 1.5."""

    num_overlaps: int = Field(default=10, ge=1, le=100)
    """How many of a target's largest overlaps are summed to k."""


class SoftLabelAssignerSettings(PredictionAssignerSettings):
    """RTMDet's assignment: as simota, with soft labels in the cost and a soft centre."""

    name: Literal["soft_label"]

    points: Literal["center", "corner"] = "center"
    """Position of a prediction in its cell: centre, or top left corner as in RTMDet's head."""

    num_overlaps: int = Field(default=13, ge=1, le=100)
    """How many of a target's largest overlaps are summed to k."""


class CustomAssignerSettings(AssignerSettings):
    """An assigner of your own for heads without anchors, imported from the working directory or
    what is installed.
    """

    reads_predictions = True  # as far as anybody knows

    name: Literal["custom"]

    object: ObjectName
    """Its class: called with predictions and targets, returns an Assignment; docs/extending.md."""

    arguments: dict[str, Any] = Field(default_factory=dict)
    """What the class is built with."""


class CustomAnchorAssignerSettings(CustomAssignerSettings):
    """An assigner of your own that matches anchors."""

    needs_anchors = True
    name: Literal["custom_anchors"]  # type: ignore[assignment]


Assigner = Annotated[
    AnchorRatioAssignerSettings
    | IouAssignerSettings
    | TaskAlignedAssignerSettings
    | SimOtaAssignerSettings
    | SoftLabelAssignerSettings
    | CustomAssignerSettings
    | CustomAnchorAssignerSettings,
    Field(discriminator="name"),
]
