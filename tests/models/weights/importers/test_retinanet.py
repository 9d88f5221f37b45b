"""RetinaNet of torchvision: the same boxes and scores as torchvision's own module gives."""

import re

import pytest
import torch
from torch import Tensor
from torchvision.models.detection import retinanet_resnet50_fpn
from torchvision.models.detection._utils import overwrite_eps
from torchvision.models.detection.image_list import ImageList

from commands.build.detector import build_imported, coco_names, named_graph
from configs.errors import ConfigError
from models.detector import build_detector
from models.weights.importers import import_weights
from models.weights.importers.retinanet import COCO_ROWS
from models.weights.resnet import IMAGENET_MEAN, IMAGENET_STD


@pytest.fixture(scope="module")
def theirs() -> torch.nn.Module:
    torch.manual_seed(0)
    model = retinanet_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=91, norm_layer=_frozen()
    ).eval()
    overwrite_eps(model, 0.0)  # as its published weights are used
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                value.normal_(0, 0.1)
        model.head.regression_head.bbox_reg.bias.normal_(0, 0.1)
        model.head.classification_head.cls_logits.bias.normal_(-2, 1)
    return model


def _frozen() -> type[torch.nn.Module]:
    from torchvision.ops import FrozenBatchNorm2d

    return FrozenBatchNorm2d


@pytest.mark.slow
def test_boxes_and_scores_are_torchvision_s(theirs: torch.nn.Module) -> None:
    images = torch.rand(1, 3, 256, 384)
    imported = import_weights(theirs.state_dict(), coco_names=coco_names())
    assert imported is not None
    assert imported.class_names == coco_names()
    detector = build_imported(imported, "x")
    graph = build_detector(named_graph("retinanet-r50-fpn"), num_classes=80)
    torch.testing.assert_close(detector.anchors, graph.anchors)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
    with torch.no_grad():
        decoded = detector(images).decode()
        features = list(theirs.backbone((images - mean) / std).values())
        output = theirs.head(features)
        anchors = theirs.anchor_generator(ImageList(images, [(256, 384)]), features)[0]
        boxes = theirs.head.regression_head.box_coder.decode_single(
            output["bbox_regression"][0], anchors
        )
    scores = output["cls_logits"][0].sigmoid()[:, list(COCO_ROWS)]
    order = _cells_by_anchor(features)
    torch.testing.assert_close(decoded.class_scores[0], scores[order], atol=1e-4, rtol=1e-4)
    assert (decoded.boxes[0] - boxes[order]).abs().max() < 0.5


def _cells_by_anchor(features: list[Tensor]) -> Tensor:
    """Return where each of our predictions (anchor, cell) lies among theirs (cell, anchor)."""
    parts, start = [], 0
    for feature in features:
        cells = feature.shape[2] * feature.shape[3]
        index = torch.arange(start, start + 9 * cells).view(cells, 9)
        parts.append(index.T.flatten())
        start += 9 * cells
    return torch.cat(parts)


@pytest.mark.slow
def test_both_ways_of_naming_are_the_same(theirs: torch.nn.Module) -> None:
    state = theirs.state_dict()
    old = {
        re.sub(
            r"(_head\.conv)\.(\d)\.0\.",
            lambda found: f"{found[1]}.{2 * int(found[2])}.",
            re.sub(r"(_blocks\.\d)\.0\.", r"\1.", name),
        ): tensor
        for name, tensor in state.items()
    }
    assert old.keys() != state.keys()
    new, same = (import_weights(each, coco_names=coco_names()) for each in (state, old))
    assert new is not None
    assert same is not None
    assert new.tensors.keys() == same.tensors.keys()
    assert all(torch.equal(new.tensors[name], same.tensors[name]) for name in new.tensors)


def test_heads_that_are_not_read_are_refused_by_name(theirs: torch.nn.Module) -> None:
    state = theirs.state_dict()
    with pytest.raises(ConfigError, match=r"second version .* is not read"):
        import_weights({**state, "head.classification_head.conv.0.1.weight": torch.ones(256)})
    with pytest.raises(ConfigError, match="FCOS of torchvision is not read"):
        import_weights({**state, "head.regression_head.bbox_ctrness.weight": torch.ones(1)})
    few = {**state, "head.regression_head.bbox_reg.bias": torch.zeros(12)}
    with pytest.raises(ConfigError, match="3 anchors, 9 were expected"):
        import_weights(few)
