"""A head without anchors and objectness: graph, detections, loss, budget, weights."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from configs.errors import ConfigError
from models.detector import Detector, build_detector, init_weights
from models.inference.nms import Postprocess
from models.losses import Branch, DetectionCriterion
from models.losses.box import OverlapLoss, SmoothL1Loss
from models.losses.criterion.box_term import BoxTerm
from models.losses.criterion.budget import measure_budget
from models.weights.checkpoint import checkpoint_metadata, detector_from_checkpoint
from tests import anchor_free
from tests.anchor_free import InsideAssigner, distances_graph
from tests.oracles import slow_overlap
from utils.structures.batch import Targets
from utils.structures.predictions import Assignment, Predictions


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    anchor_free.register(monkeypatch)


def tiny(bins: int = 0) -> Detector:
    torch.manual_seed(0)
    detector = build_detector(distances_graph(bins), num_classes=3)
    init_weights(detector)
    return detector


def slow_boxes(raw: Tensor, stride: int, bins: int) -> list[list[float]]:
    """Boxes of one image and level, cell by cell."""
    boxes = []
    for row in range(raw.shape[1]):
        for column in range(raw.shape[2]):
            coded = raw[0, row, column]
            sides = []
            for side in range(4):
                if bins:
                    logits = coded[side * bins : (side + 1) * bins].exp()
                    mean = sum(k * float(logits[k] / logits.sum()) for k in range(bins))
                    sides.append(mean * stride)
                else:
                    sides.append(float(coded[side].exp()) * stride)
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            boxes.append([x - sides[0], y - sides[1], x + sides[2], y + sides[3]])
    return boxes


@pytest.mark.parametrize("bins", [0, 8])
def test_all_ways_of_decoding_agree_with_the_oracle(bins: int) -> None:
    detector = tiny(bins).eval()
    with torch.no_grad():
        predictions = detector(torch.rand(2, 3, 16, 24))
    assert predictions.anchors is None
    assert predictions.num_classes == 3
    decoded, start = predictions.decode(), 0
    for level, (raw, stride) in enumerate(zip(predictions.levels, (4, 8), strict=True)):
        assert raw.shape == (2, 1, 16 // stride, 24 // stride, 4 * max(bins, 1) + 3)
        expected = torch.tensor(slow_boxes(raw[1], stride, bins))
        count = len(expected)
        whole = decoded.boxes[1, start : start + count]
        torch.testing.assert_close(whole, expected)
        boxes, ones, scores = predictions.decode_cells(level, 1, torch.arange(count))
        torch.testing.assert_close(boxes, expected)
        assert bool((ones == 1).all())
        torch.testing.assert_close(scores.amax(1), predictions.score_caps(level, 1).flatten())
        start += count
    assert len(Postprocess(score_threshold=0.0)(predictions).detections[0])


class WithoutQuality(InsideAssigner):
    def __call__(self, predictions: Predictions, targets: Targets) -> Assignment:
        found = super().__call__(predictions, targets)
        return Assignment(levels=tuple(replace(level, quality=None) for level in found.levels))


def criterion(target: Any, assigner: Any = None, box: nn.Module | None = None) -> Any:
    return DetectionCriterion(
        assigner=assigner or InsideAssigner(),
        box=BoxTerm(box or OverlapLoss("iou"), gain=1.0, normalizer="positives"),
        objectness=None,
        classification=Branch(
            nn.BCEWithLogitsLoss(reduction="none"),
            gain=1.0,
            normalizer="positives",
            target=target,
        ),
    )


TARGETS = Targets(
    boxes=torch.tensor([[1.0, 1, 15, 13], [12, 2, 24, 16], [3, 3, 4, 4]]),
    labels=torch.tensor([1, 0, 2]),
    image_index=torch.tensor([0, 1, 1]),
)


@pytest.mark.parametrize("bins", [0, 8])
def test_aligned_targets_reach_the_class_loss(bins: int) -> None:
    """Sum over all cells and classes of BCE, the target being the overlap that was assigned."""
    detector = tiny(bins)
    with torch.no_grad():
        predictions = detector(torch.rand(2, 3, 16, 24))
    terms = criterion("aligned")(predictions, TARGETS)
    expected_class = expected_box = 0.0
    matches = 0
    for raw, stride in zip(predictions.levels, (4, 8), strict=True):
        for image in range(2):
            boxes = slow_boxes(raw[image], stride, bins)
            logits = raw[image, 0].flatten(0, 1)[:, -3:].double()
            wanted = torch.zeros_like(logits)
            for cell, box in enumerate(boxes):
                width = 24 // stride
                x, y = (cell % width + 0.5) * stride, (cell // width + 0.5) * stride
                for truth, label, of in zip(
                    TARGETS.boxes.tolist(),
                    TARGETS.labels.tolist(),
                    TARGETS.image_index.tolist(),
                    strict=True,
                ):
                    is_inside = truth[0] < x < truth[2] and truth[1] < y < truth[3]
                    if of != image or not is_inside:
                        continue
                    overlap = slow_overlap(box, truth, "iou")
                    wanted[cell, label] = max(float(wanted[cell, label]), overlap)
                    expected_box += 1 - overlap
                    matches += 1
            loss = nn.functional.binary_cross_entropy_with_logits(logits, wanted, reduction="sum")
            expected_class += loss.item()
    assert terms.num_foreground.item() == matches > 0
    assert terms["classification"].item() == pytest.approx(expected_class / matches, rel=1e-5)
    assert terms["box"].item() == pytest.approx(expected_box / matches, rel=1e-5)


def test_a_quality_that_is_missing_is_named() -> None:
    predictions = tiny()(torch.rand(2, 3, 16, 24))
    with pytest.raises(ValueError, match="'aligned' needs an assigner that gives"):
        criterion("aligned", WithoutQuality())(predictions, TARGETS)


@pytest.mark.parametrize("target", ["hard", "iou"])
def test_other_targets_do_not_look_at_the_quality(target: str) -> None:
    predictions = tiny()(torch.rand(2, 3, 16, 24))
    terms = [criterion(target, each)(predictions, TARGETS) for each in (None, WithoutQuality())]
    assert torch.equal(terms[0].total, terms[1].total)


def test_coordinates_are_in_cells_where_there_is_no_anchor() -> None:
    predictions = tiny()(torch.rand(1, 3, 16, 24))
    for raw in predictions.levels:
        raw.data.zero_()  # boxes of two by two cells
    targets = Targets(
        boxes=torch.tensor([[9.0, 9, 15, 15]]),
        labels=torch.tensor([0]),
        image_index=torch.tensor([0]),
    )
    terms = criterion("hard", box=SmoothL1Loss(beta=1e-9))(predictions, targets)
    # Stride 8: the cell (1, 1) of centre 12, 12: sides 16 and 6. Stride 4: (2, 2), (3, 2), ...
    log = torch.tensor(16 / 6).log().item() * 2
    fine = 2 * 4 * (0.5 + torch.tensor(8 / 6).log().item())
    assert terms["box"].item() == pytest.approx((log + fine) / 5, rel=1e-4)


def test_gradient_reaches_every_parameter_and_the_budget_counts_one_column() -> None:
    detector, loss = tiny(8), criterion("aligned")
    predictions = detector(torch.rand(2, 3, 16, 24))
    loss(predictions, TARGETS).total.backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in detector.parameters())
    budget = measure_budget(loss, predictions, TARGETS)
    assert budget.matches.shape == (2, 1, 3)
    assert budget.matches.sum() == loss(predictions, TARGETS).num_foreground


def test_a_checkpoint_rebuilds_the_detector() -> None:
    detector = tiny(8).eval()
    metadata = checkpoint_metadata(detector, ["a", "b", "c"], 64)
    rebuilt = detector_from_checkpoint(detector.state_dict(), metadata)
    images = torch.rand(1, 3, 16, 24)
    assert torch.equal(rebuilt(images).decode().boxes, detector(images).decode().boxes)
    assert "model.4.anchors" not in detector.state_dict()
    with pytest.raises(ValueError, match="no anchors"):
        detector.set_anchors(torch.ones(2, 1, 2))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"anchors": 3}, "anchors: the head Distances has none; leave the key out"),
        (
            {"head": [[-1, 1, "Conv", [16, 3, 2]], [[2, 3], 1, "Distances", ["nc", "anchors"]]]},
            r"row 4 \(Distances\): unknown argument",
        ),
        (
            {"head": [[-1, 1, "Conv", [16, 3, 2]], [[2, 3], 1, "Distances", ["nc", 8, 9]]]},
            r"args must be \[nc\] and up to 1 more",
        ),
        ({"head": [[-1, 1, "Conv", [16, 3, 2]], [[2, 3], 1, "Detect", ["nc"]]]}, "is missing"),
        ({"head": [[[2], 1, "Distance", ["nc"]]]}, "unknown block"),
    ],
)
def test_wrong_graphs_are_one_line(changes: dict[str, Any], message: str) -> None:
    graph = {**distances_graph(), **changes}
    with pytest.raises(ConfigError, match=message) as caught:
        build_detector(graph, num_classes=3)
    assert "\n" not in str(caught.value)
