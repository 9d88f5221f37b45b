"""What a criterion has learnt about its data travels in its state, and only training changes it."""

from typing import Any

import pytest
import torch
from torch import Tensor

from configs.schema.loss import LossSettings
from models.losses import DetectionCriterion, build_criterion
from tests.models.losses.detection_case import Case, crowd, empty, make_case

STATEFUL: dict[str, dict[str, Any]] = {
    "equalized_focal": {
        "objectness": {"name": "equalized_focal"},
        "classification": {"name": "equalized_focal"},
    },
    "ghm": {"objectness": {"name": "ghm"}, "classification": {"name": "ghm"}},
    "seesaw": {"classification": {"name": "seesaw"}},
    "ema_positives": {
        "objectness": {"name": "bce", "normalizer": "ema_positives"},
        "classification": {"name": "bce", "normalizer": "ema_positives"},
    },
}


def build(name: str) -> DetectionCriterion:
    settings = LossSettings.model_validate(STATEFUL[name])
    return build_criterion(settings, num_classes=3, num_levels=3, image_size=64)


def batches() -> list[Case]:
    boxes = [[10.0, 12.0, 34.0, 30.0], [40.0, 8.0, 90.0, 44.0]]
    return [
        crowd(),
        empty(),
        make_case(boxes=boxes, labels=[2, 2], images=[0, 1], num_classes=3, seed=7),
    ]


def step(criterion: DetectionCriterion, case: Case) -> list[Tensor]:
    """The terms and the gradients on the levels."""
    terms = criterion(case.predictions, case.targets)
    gradients = torch.autograd.grad(terms.total, case.predictions.levels)
    return [terms["box"], terms["objectness"], terms["classification"], *gradients]


def copy_of_state(criterion: DetectionCriterion) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in criterion.state_dict().items()}


@pytest.mark.parametrize("name", STATEFUL)
def test_a_restored_criterion_goes_on_bit_for_bit(name: str) -> None:
    straight, first = build(name), build(name)
    for case in batches():
        step(straight, case)
        step(first, case)
    resumed = build(name)
    resumed.load_state_dict(copy_of_state(first))
    for case in reversed(batches()):
        for expected, got in zip(step(straight, case), step(resumed, case), strict=True):
            assert torch.equal(expected, got)
    for key, value in straight.state_dict().items():
        assert torch.equal(resumed.state_dict()[key], value), key


@pytest.mark.parametrize("name", STATEFUL)
def test_a_forgotten_state_would_show(name: str) -> None:
    known, fresh = build(name), build(name)
    for case in batches():
        step(known, case)
    pairs = zip(step(known, crowd()), step(fresh, crowd()), strict=True)
    assert not all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("name", STATEFUL)
def test_training_changes_the_state_and_evaluation_does_not(name: str) -> None:
    criterion = build(name)
    step(criterion, crowd())
    before = copy_of_state(criterion)
    criterion.eval()
    for case in batches():
        step(criterion, case)
    for key, value in criterion.state_dict().items():
        assert torch.equal(value, before[key]), key
    step(criterion.train(), batches()[2])
    assert any(not torch.equal(criterion.state_dict()[key], before[key]) for key in before)


def test_a_criterion_without_memory_has_none() -> None:
    criterion = build_criterion(LossSettings(), num_classes=3, num_levels=3, image_size=64)
    before = copy_of_state(criterion)
    step(criterion, crowd())
    assert all(torch.equal(criterion.state_dict()[key], before[key]) for key in before)
