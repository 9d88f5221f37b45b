"""The criterion without objectness, against torchvision's parts, and assigners mixed with heads."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.models.detection._utils import BoxCoder, Matcher
from torchvision.ops import box_iou, sigmoid_focal_loss

from models.assign import AnchorRatioAssigner, IouAssigner
from models.heads.detect import CellDecoder
from models.heads.retina import DeltaDecoder
from models.losses import DetectionCriterion, FocalLoss
from models.losses.box import SmoothL1Loss
from models.losses.criterion import criterion
from models.losses.criterion.box_term import BoxTerm
from models.losses.criterion.branch import Branch
from tests.models.losses.detection_case import make_criterion
from utils.structures.batch import Targets
from utils.structures.decoder import Decoder
from utils.structures.loss_terms import LossTerms
from utils.structures.predictions import Predictions

STRIDES = (8, 16)
ANCHORS = torch.tensor([[[16.0, 16.0], [32.0, 12.0]], [[40.0, 40.0], [24.0, 60.0]]])
SIZE = (64, 96)


def make_predictions(
    *, num_classes: int = 3, seed: int = 0, num_images: int = 1, objectness: bool = False
) -> Predictions:
    generator = torch.Generator().manual_seed(seed)
    decoder: Decoder = CellDecoder() if objectness else DeltaDecoder()
    channels = decoder.num_channels(num_classes)
    levels = tuple(
        (torch.randn(num_images, 2, SIZE[0] // s, SIZE[1] // s, channels, generator=generator) / 2)
        .double()
        .requires_grad_()
        for s in STRIDES
    )
    return Predictions(levels=levels, anchors=ANCHORS, strides=STRIDES, decoder=decoder)


def make_targets(
    boxes: list[list[float]], labels: list[int], images: list[int] | None = None
) -> Targets:
    return Targets(
        boxes=torch.tensor(boxes, dtype=torch.float32).view(-1, 4),
        labels=torch.tensor(labels, dtype=torch.int64),
        image_index=torch.tensor(images or [0] * len(boxes), dtype=torch.int64),
    )


def retina_criterion(**changes: Any) -> DetectionCriterion:
    """The paper's loss: focal over all cells, smooth L1, both over positives."""
    arguments: dict[str, Any] = {
        "assigner": IouAssigner(rescue=False),
        "box": BoxTerm(SmoothL1Loss(beta=1 / 9), gain=1.0, normalizer="positives"),
        "objectness": None,
        "classification": Branch(
            FocalLoss(torch.nn.BCEWithLogitsLoss(reduction="none"), 2.0, 0.25, form="linear"),
            gain=1.0,
            normalizer="positives",
        ),
    }
    return DetectionCriterion(**{**arguments, **changes})


def anchor_boxes() -> Tensor:
    """(P, 4) in the order of `Predictions.decode`."""
    boxes = []
    for stride, anchors in zip(STRIDES, ANCHORS.tolist(), strict=True):
        for width, height in anchors:
            for row in range(SIZE[0] // stride):
                for column in range(SIZE[1] // stride):
                    x, y = (column + 0.5) * stride, (row + 0.5) * stride
                    boxes.append([x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return torch.tensor(boxes)


def torchvision_terms(
    predictions: Predictions, targets: Targets, *, rescue: bool
) -> tuple[Tensor, Tensor]:
    """Box and class loss of one image as its RetinaNet computes them, from its own parts."""
    raw = torch.cat([level.flatten(1, 3) for level in predictions.levels], dim=1)[0]
    deltas, logits = raw[:, :4], raw[:, 4:]
    anchors = anchor_boxes()
    matched = Matcher(0.5, 0.4, allow_low_quality_matches=rescue)(
        box_iou(targets.boxes, anchors).double()
    )
    positive = (matched >= 0).nonzero().squeeze(1)
    wanted = torch.zeros_like(logits)
    wanted[positive, targets.labels[matched[positive]]] = 1.0
    divisor = max(1, len(positive))
    counted = matched != Matcher.BETWEEN_THRESHOLDS
    focal = sigmoid_focal_loss(logits[counted], wanted[counted], alpha=0.25, gamma=2.0)
    truths = targets.boxes[matched[positive]]
    coded = BoxCoder((1.0, 1.0, 1.0, 1.0)).encode_single(truths, anchors[positive])
    box = F.smooth_l1_loss(deltas[positive], coded.double(), beta=1 / 9, reduction="sum")
    return box / divisor, focal.sum() / divisor


def values(terms: LossTerms) -> list[float]:
    return [terms["box"].item(), terms["classification"].item()]


sides = st.integers(8 * 6, 8 * 70).map(lambda value: value / 8)
places = st.integers(0, 8 * 60).map(lambda value: value / 8)


@pytest.mark.slow
@settings(max_examples=40)
@given(
    rows=st.lists(
        st.tuples(places, places, sides, sides, st.integers(0, 2)), min_size=1, max_size=4
    ),
    seed=st.integers(0, 99),
)
def test_terms_are_those_of_torchvision(
    rows: list[tuple[float, float, float, float, int]], seed: int
) -> None:
    predictions = make_predictions(seed=seed)
    boxes = [[x, y, x + width, y + height] for x, y, width, height, _ in rows]
    targets = make_targets(boxes, [row[-1] for row in rows])
    terms = retina_criterion()(predictions, targets)
    expected = torchvision_terms(predictions, targets, rescue=False)
    assert values(terms) == pytest.approx([term.item() for term in expected], rel=1e-5, abs=1e-9)
    assert terms.names == ("box", "classification")
    ours = torch.autograd.grad(terms["box"] + terms["classification"], predictions.levels)
    theirs = torch.autograd.grad(expected[0] + expected[1], predictions.levels)
    # a prediction that almost equals its target has a slope of cancelled digits: float32 knows it
    # only within a few parts in a million of the largest
    largest = max(float(gradient.abs().max()) for gradient in theirs)
    for got, reference in zip(ours, theirs, strict=True):
        torch.testing.assert_close(got, reference, rtol=1e-4, atol=5e-6 * largest)


def test_rescued_targets_are_those_of_torchvision() -> None:
    targets = make_targets([[10.0, 12, 16, 19], [40, 20, 85, 60]], [1, 2])
    predictions = make_predictions()
    terms = retina_criterion(assigner=IouAssigner())(predictions, targets)
    expected = torchvision_terms(predictions, targets, rescue=True)
    assert values(terms) == pytest.approx([term.item() for term in expected], rel=1e-5)
    without = torchvision_terms(predictions, targets, rescue=False)
    assert without[1].item() != pytest.approx(expected[1].item(), rel=1e-3)


def test_a_batch_is_divided_by_the_positives_of_all_its_images() -> None:
    both = make_predictions(num_images=2)
    boxes, labels = [[10.0, 12, 26, 28], [40, 20, 80, 60]], [0, 2]
    terms = retina_criterion()(both, make_targets(boxes, labels, [0, 1]))
    weighted, counts = [0.0, 0.0], 0.0
    for image in range(2):
        alone = replace(both, levels=tuple(level[image : image + 1] for level in both.levels))
        one = retina_criterion()(alone, make_targets([boxes[image]], [labels[image]]))
        count = one.num_foreground.item()
        weighted = [w + v * count for w, v in zip(weighted, values(one), strict=True)]
        counts += count
    assert terms.num_foreground.item() == counts
    assert values(terms) == pytest.approx([value / counts for value in weighted])


def test_without_targets_the_class_loss_of_all_cells_is_left() -> None:
    predictions = make_predictions()
    terms = retina_criterion()(predictions, make_targets([], []))
    assert terms["box"] == terms.num_foreground == 0
    focal = [
        sigmoid_focal_loss(level[..., 4:], torch.zeros_like(level[..., 4:]), 0.25, 2.0).sum()
        for level in predictions.levels
    ]
    assert terms["classification"].item() == pytest.approx(sum(focal).item())
    terms.total.backward()
    assert all(
        level.grad is not None and level.grad.isfinite().all() for level in predictions.levels
    )


def test_one_class_is_learnt_too() -> None:
    predictions = make_predictions(num_classes=1)
    terms = retina_criterion()(predictions, make_targets([[10, 12, 26, 28]], [0]))
    expected = torchvision_terms(predictions, make_targets([[10, 12, 26, 28]], [0]), rescue=False)
    assert terms["classification"].item() == pytest.approx(expected[1].item())


@pytest.mark.parametrize("rescue", [True, False])
@pytest.mark.parametrize("boxes", [[[10.0, 12, 26, 30], [40, 20, 85, 60]], []])
def test_the_fixed_length_path_of_a_gpu_gives_the_same(
    monkeypatch: pytest.MonkeyPatch, boxes: list[list[float]], rescue: bool
) -> None:
    loss = retina_criterion(assigner=IouAssigner(rescue=rescue))
    predictions, targets = make_predictions(), make_targets(boxes, [1, 2][: len(boxes)])
    compact = loss(predictions, targets)
    monkeypatch.setattr(criterion, "is_counting_free", lambda device: False)
    padded = loss(predictions, targets)
    assert values(padded) == pytest.approx(values(compact), rel=1e-12)
    for got, expected in zip(
        torch.autograd.grad(padded.total, predictions.levels),
        torch.autograd.grad(compact.total, predictions.levels),
        strict=True,
    ):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize(("rule", "classes"), [("best", [0, 1]), ("last", [1])])
def test_the_ratio_assigner_lets_a_cell_answer_for_two_targets(
    rule: str, classes: list[int]
) -> None:
    predictions = make_predictions()
    targets = make_targets([[10, 13, 26, 29], [10, 13, 26, 29]], [0, 1])
    loss = retina_criterion(assigner=AnchorRatioAssigner(max_ratio=1.2), claimed_twice=rule)
    wanted = loss.parts(predictions, targets).classification
    assert wanted is not None
    assert wanted.counted is None
    rows = wanted.targets[0][wanted.targets[0].any(dim=1)]
    assert len(rows) == 3
    assert all(row.nonzero().flatten().tolist() == classes for row in rows)


def test_the_overlap_may_be_the_class_target() -> None:
    soft = Branch(torch.nn.BCEWithLogitsLoss(reduction="none"), gain=1.0, target="iou")
    predictions, targets = make_predictions(), make_targets([[10, 12, 26, 28]], [1])
    near = tuple((level / 10).detach().requires_grad_() for level in predictions.levels)
    predictions = replace(predictions, levels=near)
    parts = retina_criterion(classification=soft).parts(predictions, targets)
    assert parts.classification is not None
    highest = parts.classification.targets[0].amax()
    assert 0 < highest < 1
    assert not parts.classification.targets[0].requires_grad


def test_ignored_cells_do_not_learn_objectness_and_all_others_do() -> None:
    predictions = make_predictions(objectness=True)
    targets = make_targets([[10.0, 12, 26, 30]], [1])
    assigner = IouAssigner(positive=0.7, negative=0.2)
    loss = make_criterion(assigner=assigner, level_balance=(1.0, 1.0))
    terms = loss(predictions, targets)
    slopes = torch.autograd.grad(terms["objectness"], predictions.levels)
    ignored = [level.ignored for level in assigner(predictions, targets).levels]
    assert sum(int(level.sum()) for level in ignored if level is not None) > 5
    for slope, level in zip(slopes, ignored, strict=True):
        assert level is not None
        assert torch.equal(slope[..., 4] == 0, level)


def test_every_other_cell_learns_its_classes() -> None:
    predictions, targets = make_predictions(), make_targets([[10.0, 12, 26, 30]], [1])
    assigner = IouAssigner(positive=0.7, negative=0.2)
    terms = retina_criterion(assigner=assigner)(predictions, targets)
    slopes = torch.autograd.grad(terms["classification"], predictions.levels)
    for slope, level in zip(slopes, assigner(predictions, targets).levels, strict=True):
        assert level.ignored is not None
        assert torch.equal((slope[..., 4:] == 0).all(dim=-1), level.ignored)


@pytest.mark.parametrize("objectness", [True, False])
def test_head_and_criterion_must_agree_on_objectness(objectness: bool) -> None:
    loss = retina_criterion() if objectness else make_criterion()
    predictions = make_predictions(objectness=objectness)
    with pytest.raises(ValueError, match="must both have objectness or neither"):
        loss(predictions, make_targets([], []))
