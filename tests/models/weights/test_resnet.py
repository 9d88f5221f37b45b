import pytest
import torch
from torch import Tensor
from torchvision.models import resnet18, resnet50
from torchvision.models.resnet import ResNet

from models.detector import Detector, build_detector
from models.weights.resnet import renamed_resnet
from tests.models.factories import randomise_norms, read_graph, tiny_detector


def classifier(name: str) -> ResNet:
    torch.manual_seed(0)
    model = {"r18": resnet18, "r50": resnet50}[name](weights=None)
    randomise_norms(model)
    return model.eval()


def stages(model: ResNet, images: Tensor) -> list[Tensor]:
    features = model.maxpool(model.relu(model.bn1(model.conv1(images))))
    outputs = []
    for stage in (model.layer1, model.layer2, model.layer3, model.layer4):
        features = stage(features)
        outputs.append(features)
    return outputs


def rows_of(detector: Detector, images: Tensor) -> list[Tensor]:
    outputs = []
    for module in detector.model[:5]:
        images = module(images)
        outputs.append(images)
    return outputs[1:]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["r18", "r50"])
def test_a_renamed_backbone_computes_what_the_classifier_does(name: str) -> None:
    model = classifier(name)
    detector = build_detector(read_graph(f"retinanet-{name}"), num_classes=2).eval()
    renamed = renamed_resnet(model.state_dict(), detector.graph)
    result = detector.load_state_dict(renamed, strict=False)
    assert result.unexpected_keys == ["fc.weight", "fc.bias"]
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for ours, theirs in zip(rows_of(detector, images), stages(model, images), strict=True):
            assert torch.equal(ours, theirs)


def test_names_stay_where_the_graph_has_no_such_rows() -> None:
    tensors = {"conv1.weight": torch.ones(1), "layer2.0.bn1.bias": torch.ones(1)}
    assert set(renamed_resnet(tensors, tiny_detector().graph)) == set(tensors)


def test_a_fifth_stage_stays_as_it_is() -> None:
    graph = build_detector(read_graph("retinanet-r18"), num_classes=2).graph
    tensors = {name: torch.ones(1) for name in ("layer5.0.x", "layer4.0.x", "model.3.x")}
    assert set(renamed_resnet(tensors, graph)) == {"layer5.0.x", "model.4.0.x", "model.3.x"}
