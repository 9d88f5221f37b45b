"""Losses of anchor-free heads and their gradients against what published implementations gave."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from configs.schema.loss import LossSettings
from models.losses import build_criterion
from models.losses.coding import DistributionLoss, distribution_focal_loss
from models.losses.focal import FocalLoss
from tests.models import modern_golden as golden
from utils.structures.predictions import Predictions

YOLOX: dict[str, Any] = {
    "assigner": {"name": "simota", "candidates": "center"},
    "box": {
        "name": "alpha_iou",
        "overlap": "iou",
        "exponent": 2.0,
        "gain": 5.0,
        "normalizer": "positives",
    },
    "objectness": {"name": "bce", "gain": 1.0, "target": "hard", "normalizer": "positives"},
    "classification": {"name": "bce", "gain": 1.0, "target": "aligned", "normalizer": "positives"},
}
RTMDET: dict[str, Any] = {
    "assigner": {"name": "soft_label", "points": "corner"},
    "box": {"name": "giou", "gain": 2.0, "normalizer": "targets"},
    "objectness": None,
    "classification": {
        "name": "quality",
        "beta": 2.0,
        "gain": 1.0,
        "target": "aligned",
        "normalizer": "targets",
    },
}


def criterion(settings: dict[str, Any], predictions: Predictions) -> Any:
    return build_criterion(
        LossSettings.model_validate(settings),
        num_classes=predictions.num_classes,
        num_levels=len(predictions.levels),
        image_size=640,
    )


def gradients(terms: Any, predictions: Predictions) -> list[Tensor]:
    total = torch.stack(terms.values).sum()
    found = torch.autograd.grad(total, predictions.levels)
    return [each[:, 0].permute(0, 3, 1, 2) for each in found]


def check_gradients(own: list[Tensor], expected: list[Tensor]) -> None:
    largest = max(float(each.abs().max()) for each in expected)
    for ours, theirs in zip(own, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * largest)


@pytest.mark.parametrize("path", golden.golden_files("yolox_loss_*.npz"), ids=lambda p: p.stem)
def test_yolox(path: Path) -> None:
    data = golden.load(path)
    predictions, targets, _ = golden.yolox_case(data)
    extra = {"l1": {"gain": 1.0}} if data["use_l1"] else {}
    terms = criterion({**YOLOX, **extra}, predictions)(predictions, targets)
    total, box, objectness, classification, l1 = data["loss"]
    assert terms["box"].item() == pytest.approx(box, rel=1e-5)
    assert terms["objectness"].item() == pytest.approx(objectness, rel=1e-5)
    assert terms["classification"].item() == pytest.approx(classification, rel=1e-5)
    assert sum(terms.values).item() == pytest.approx(total, rel=1e-5)
    if extra:
        assert terms["l1"].item() == pytest.approx(l1, rel=1e-5)
    expected = [golden.tensor(data[f"grad{i}"]) for i in range(len(data["strides"]))]
    check_gradients(gradients(terms, predictions), expected)


@pytest.mark.parametrize("path", golden.golden_files("rtmdet_loss_*.npz"), ids=lambda p: p.stem)
def test_rtmdet(path: Path) -> None:
    data = golden.load(path)
    predictions, targets, _ = golden.rtmdet_case(data)
    terms = criterion(RTMDET, predictions)(predictions, targets)
    assert terms["box"].item() == pytest.approx(float(data["loss_box"]), rel=1e-5)
    assert terms["classification"].item() == pytest.approx(float(data["loss_cls"]), rel=1e-5)
    own = gradients(terms, predictions)
    check_gradients(
        [each[:, :4] / stride for each, stride in zip(own, predictions.strides, strict=True)],
        [golden.tensor(data[f"grad_dist{i}"]) for i in range(len(own))],
    )
    check_gradients(
        [each[:, 4:] for each in own],
        [golden.tensor(data[f"grad_cls{i}"]) for i in range(len(own))],
    )


def test_distribution_focal_loss() -> None:
    (path,) = golden.golden_files("dfl.npz")
    data = golden.load(path)
    logits = golden.tensor(data["logits"]).requires_grad_()
    loss = distribution_focal_loss(logits, golden.tensor(data["target"])).mean()
    assert loss.item() == pytest.approx(float(data["loss"]), rel=1e-12)
    loss.backward()
    torch.testing.assert_close(logits.grad, golden.tensor(data["grad"]), rtol=0, atol=1e-12)
    bins = torch.arange(logits.shape[1], dtype=logits.dtype)
    mean = logits.detach().softmax(1) @ bins
    torch.testing.assert_close(mean, golden.tensor(data["expectation"]), rtol=0, atol=1e-12)


def test_quality_focal_loss() -> None:
    (path,) = golden.golden_files("qfl.npz")
    data = golden.load(path)
    logits = golden.tensor(data["logits"]).requires_grad_()
    num_classes = logits.shape[1]
    labels, quality = golden.tensor(data["labels"]), golden.tensor(data["quality"])
    is_class = labels[:, None] == torch.arange(num_classes)
    targets = torch.where(is_class, quality[:, None], 0.0)
    bce = torch.nn.BCEWithLogitsLoss(reduction="none")
    loss = FocalLoss(bce, float(data["beta"]), None, form="quality")(logits, targets).sum(dim=1)
    torch.testing.assert_close(loss, golden.tensor(data["loss_per_row"]), rtol=1e-12, atol=1e-12)
    loss.sum().backward()
    torch.testing.assert_close(logits.grad, golden.tensor(data["grad"]), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("logits", "target", "mean", "loss"),
    [
        ((0, 1, 2, 0.5), 1.3, 1.759364510, 1.246006390),
        ((0, 0, 0, 0), 2.0, 1.5, 1.386294361),
        ((0.5, -1, 0.25, 2), 0.0, 2.348348439, 1.869278998),
        ((1, 2, 3, 4), 2.99, 2.492652735, 0.450189699),
        ((0,) * 16, 7.5, 7.5, 2.772588722),
    ],
)
def test_distribution_by_hand(
    logits: tuple[float, ...], target: float, mean: float, loss: float
) -> None:
    row = torch.tensor([logits], dtype=torch.float64)
    own = distribution_focal_loss(row, torch.tensor([target], dtype=torch.float64))
    assert float(own) == pytest.approx(loss, abs=2e-9)
    expected = float(row.softmax(1) @ torch.arange(len(logits), dtype=torch.float64))
    assert expected == pytest.approx(mean, abs=2e-9)


def test_distribution_gradient_by_hand() -> None:
    row = torch.tensor([[0, 1, 2, 0.5]], dtype=torch.float64, requires_grad=True)
    distribution_focal_loss(row, torch.tensor([1.3], dtype=torch.float64)).sum().backward()
    expected = [0.078394117, -0.486902696, 0.279258530, 0.129250049]
    assert row.grad is not None
    assert row.grad[0].tolist() == pytest.approx(expected, abs=2e-9)


def test_sides_of_a_box_are_averaged_and_cut_to_the_bins() -> None:
    coded = torch.randn(3, 4 * 5, dtype=torch.float64)
    codes = torch.tensor([[0.0, 3.99, 1.5, 2.0], [-2.0, 9.0, 3.995, 0.25], [1, 2, 3, 3.5]])
    expected = [
        sum(
            float(distribution_focal_loss(row[k * 5 : k * 5 + 5], code.clamp(0, 3.99)))
            for k, code in enumerate(sides)
        )
        / 4
        for row, sides in zip(coded, codes.double(), strict=True)
    ]
    own = DistributionLoss()(coded, codes.double())
    assert own.tolist() == pytest.approx(expected, rel=1e-12)
