"""What an importer hands over."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedWeights:
    """The weights of another project as ours.

    graph_name: the file in configs/models that they fill, without .yaml. tensors: every entry of
    its state, named as in `Detector.state_dict()`, for RGB pixels in [0, 1]. class_names: in the
    order of the class rows. image_size: side in pixels they were trained at. notes: plain JSON
    values: `import_format` (yolox, yolox-onnx, rtmdet, yolov9, torchvision), `origin` (address of
    the project), `licence` as it states it, `input` (what its own program feeds the network),
    `folded_norms` (True where batch norms were folded into convolutions, so that they have to be
    measured again before training); from a file also `name` (the graph), `file`, `sha256`.
    evaluation: settings of section `eval` in which the project's own evaluation differs from ours.
    """

    graph_name: str
    tensors: Mapping[str, Tensor]
    class_names: tuple[str, ...]
    image_size: int
    notes: Mapping[str, Any]
    evaluation: Mapping[str, Any] = field(default_factory=dict)
