"""Small networks and raw predictions for the tests of this folder."""

import math
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor

from models.detector import Detector, build_detector
from models.heads.detect import CellDecoder
from utils.structures.decoder import Decoder
from utils.structures.predictions import Predictions

GRAPHS = Path(__file__).parents[2] / "configs" / "models"


def read_graph(name: str) -> dict[str, Any]:
    return yaml.safe_load((GRAPHS / f"{name}.yaml").read_text())


def tiny_graph(**changes: Any) -> dict[str, Any]:
    """Two levels, strides 4 and 8, a few hundred weights."""
    graph = {
        "nc": 3,
        "depth_multiple": 1.0,
        "width_multiple": 1.0,
        "anchors": [[4, 5, 8, 7], [16, 12, 20, 30]],
        "backbone": [
            [-1, 1, "Conv", [8, 3, 2]],
            [-1, 1, "Conv", [8, 3, 2]],
            [-1, 1, "C3", [8]],
        ],
        "head": [
            [-1, 1, "Conv", [16, 3, 2]],
            [[2, 3], 1, "Detect", ["nc", "anchors"]],
        ],
    }
    return {**graph, **changes}


def tiny_detector(num_classes: int = 3, seed: int = 0, **changes: Any) -> Detector:
    torch.manual_seed(seed)
    return build_detector(tiny_graph(**changes), num_classes=num_classes)


def randomise_norms(detector: Detector) -> None:
    """Give batch normalisation statistics other than its start values."""
    for module in detector.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)


def logit(score: float) -> float:
    return math.log(score / (1 - score))


def raw_cells(boxes: list[tuple[float, ...]], scores: Tensor, objectness: Tensor) -> Predictions:
    """One image whose cells, one row of stride 8, predict exactly these cxcywh boxes.

    scores (N, C) and objectness (N,) in (0, 1). Centres must lie within half a cell of their own.
    """
    anchor, stride = 32.0, 8
    raw = torch.zeros(1, 1, 1, len(boxes), 5 + scores.shape[1], dtype=torch.float64)
    for column, (cx, cy, width, height) in enumerate(boxes):
        place = [(cx / stride - column + 0.5) / 2, (cy / stride + 0.5) / 2]
        size = [math.sqrt(side / anchor) / 2 for side in (width, height)]
        raw[0, 0, 0, column, :4] = torch.tensor([logit(share) for share in place + size])
    raw[0, 0, 0, :, 4] = objectness.double().logit()
    raw[0, 0, 0, :, 5:] = scores.double().logit()
    return Predictions(
        levels=(raw.float(),),
        anchors=torch.full((1, 1, 2), anchor),
        strides=(stride,),
        decoder=CellDecoder(),
    )


def random_predictions(
    seed: int,
    num_images: int = 2,
    num_classes: int = 3,
    shift: float = 0.0,
    *,
    decoder: Decoder | None = None,
) -> Predictions:
    """Two levels of random logits with many overlaps; `shift` moves all scores."""
    decoder = decoder or CellDecoder()
    generator = torch.Generator().manual_seed(seed)
    levels = []
    channels = decoder.num_channels(num_classes)
    for cells in (6, 3):
        raw = torch.randn(num_images, 2, cells, cells, channels, generator=generator) * 2
        raw[..., 4:] += shift
        levels.append(raw)
    anchors = torch.tensor([[[20.0, 30.0], [40.0, 20.0]], [[60.0, 50.0], [30.0, 80.0]]])
    return Predictions(
        levels=tuple(levels),
        anchors=anchors,
        strides=(8, 16),
        decoder=decoder,
    )
