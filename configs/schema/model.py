"""Section `model`: which network, from which weights, with which anchors and priors."""

from typing import Literal

from pydantic import Field

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

    prior: Literal["fixed", "counted"] = "fixed"
    """Start value of objectness and class biases: fixed by formula (8 objects a 640 px image), or
    counted from the training labels."""

    fuse: bool = True
    """Fold batch normalisation into the convolutions for validation and export; same detections,
    less time."""


class AnchorRatioAssigner(Settings):
    """A target goes to every anchor of similar size, in its cell and the two nearest cells."""

    name: Literal["anchor_ratio"] = "anchor_ratio"

    max_ratio: float = Field(default=4.0, gt=1)
    """Largest ratio between a side of the target and the anchor's, either way round, that still
    matches."""
