"""The class loss by name on soft targets, with a head that has no objectness."""

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch

from configs.schema.loss import LossSettings
from models.heads.joint import DistanceDecoder
from models.heads.yolox import ShiftDecoder
from models.losses import DetectionCriterion, build_criterion
from models.losses.criterion.budget import measure_budget
from models.losses.criterion.gradient_size import gradient_sizes
from tests.models.assign.test_dynamic import scene, spec_scene
from tests.models.modern_golden import CornerDecoder
from utils.structures.predictions import Predictions

BY_HAND = {"name": "task_aligned", "min_side": 0.0, "rescue": False}


def criterion(num_classes: int = 3, **changes: Any) -> DetectionCriterion:
    settings: dict[str, Any] = {
        "assigner": {"name": "task_aligned"},
        "box": {"name": "giou", "gain": 1.0, "normalizer": "targets"},
        "objectness": None,
        "classification": {"name": "bce", "gain": 1.0, "normalizer": "targets"},
    }
    return build_criterion(
        LossSettings.model_validate(settings | changes),
        num_classes=num_classes,
        num_levels=2,
        image_size=64,
    )


def class_loss(**changes: Any) -> dict[str, Any]:
    return {"name": "bce", "gain": 1.0, "normalizer": "targets"} | changes


@pytest.mark.parametrize(
    ("assigner", "loss", "expected"),
    [
        (BY_HAND, {"name": "bce"}, 43.387952822),
        (BY_HAND, {"name": "quality", "beta": 2.0}, 9.795503698),
        (BY_HAND, {"name": "varifocal", "alpha": 0.75, "gamma": 2.0}, 7.255542366),
        (BY_HAND | {"alpha": 1.0, "topk": 13}, {"name": "bce"}, 45.621825264),
        (BY_HAND | {"alpha": 1.0, "topk": 13}, {"name": "varifocal"}, 7.441041938),
        ({"name": "task_aligned"}, {"name": "varifocal"}, 6.920391387),
    ],
)
def test_losses_by_hand(assigner: Any, loss: Any, expected: float) -> None:
    terms = criterion(assigner=assigner, classification=class_loss(**loss))(*spec_scene())
    assert terms["classification"].item() == pytest.approx(expected, rel=2e-6)


def test_the_box_loss_by_hand() -> None:
    terms = criterion(assigner=BY_HAND)(*spec_scene())
    assert terms["box"].item() == pytest.approx(0.531979528, rel=3e-6)


@pytest.mark.parametrize(
    ("points", "cls", "box"),
    [("center", 5.889168341, 1.101507018), ("corner", 6.119328216, 1.124134335)],
)
def test_soft_labels_by_hand(points: str, cls: float, box: float) -> None:
    terms = criterion(
        assigner={"name": "soft_label", "points": points},
        classification=class_loss(name="quality"),
        box={"name": "giou", "gain": 2.0, "normalizer": "targets"},
    )(*spec_scene())
    assert terms["classification"].item() == pytest.approx(cls, rel=2e-6)
    assert terms["box"].item() == pytest.approx(box, rel=2e-6)


@pytest.mark.parametrize(
    ("candidates", "objectness", "cls", "box"),
    [
        ("box_or_center", 7.467217681, 1.362796970, 0.801124751),
        ("center", 7.464845450, 1.381469367, 0.800985390),
    ],
)
def test_simota_by_hand(candidates: str, objectness: float, cls: float, box: float) -> None:
    terms = criterion(
        assigner={"name": "simota", "candidates": candidates},
        objectness={"name": "bce", "normalizer": "positives"},
        classification=class_loss(normalizer="positives"),
        box={
            "name": "alpha_iou",
            "overlap": "iou",
            "exponent": 2.0,
            "gain": 1.0,
            "normalizer": "positives",
        },
    )(*spec_scene(has_objectness=True))
    assert terms["objectness"].item() == pytest.approx(objectness, rel=2e-6)
    assert terms["classification"].item() == pytest.approx(cls, rel=2e-6)
    assert terms["box"].item() == pytest.approx(box, rel=2e-6)


def with_gradient(predictions: Predictions) -> Predictions:
    levels = tuple(level.detach().clone().requires_grad_() for level in predictions.levels)
    return replace(predictions, levels=levels)


@pytest.mark.parametrize("target", ["aligned", "iou", "overlap", "hard"])
def test_focal_without_focus_is_bce_bit_for_bit(target: str) -> None:
    predictions, targets = scene(4, DistanceDecoder())
    found = []
    for loss in ({"name": "bce"}, {"name": "focal", "gamma": 0.0, "alpha": None}):
        own = with_gradient(predictions)
        terms = criterion(classification=class_loss(**loss, target=target))(own, targets)
        found.append((terms.total, *torch.autograd.grad(terms.total, own.levels)))
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
    assert bool(found[0][1].any())


@pytest.mark.parametrize(
    "loss",
    [
        {"name": "bce"},
        {"name": "quality"},
        {"name": "varifocal"},
        {"name": "focal", "gamma": 1.5, "alpha": 0.25, "form": "linear"},
        {"name": "focal", "gamma": 1.5, "alpha": None, "form": "exp"},
        {"name": "focal", "gamma": 1.5, "alpha": None, "form": "quality"},
        {"name": "poly", "target": "hard"},
        {"name": "asymmetric", "target": "hard"},
        {"name": "focal_star", "target": "hard"},
        {"name": "ghm"},
    ],
    ids=lambda loss: "-".join(str(value) for value in loss.values()),
)
def test_every_loss_learns_and_has_a_budget(loss: dict[str, Any]) -> None:
    predictions, targets = scene(5, DistanceDecoder(bins=4, box_channels=16))
    own, loss_of_all = (
        with_gradient(predictions),
        criterion(classification=class_loss(**loss), distribution={"gain": 1.5}),
    )
    terms = loss_of_all(own, targets)
    assert terms.names == ("box", "distribution", "classification")
    gradients = torch.autograd.grad(terms.total, own.levels)
    assert all(bool(g.isfinite().all()) and bool(g.any()) for g in gradients)
    budget = measure_budget(loss_of_all, predictions, targets)
    assert budget.branches.keys() == {"classification"}
    assert gradient_sizes(loss_of_all, predictions, targets)["classification"] > 0


def test_the_distribution_is_weighed_as_boxes_are() -> None:
    predictions, targets = scene(6, DistanceDecoder(bins=6, box_channels=24))
    loss = criterion(distribution={"gain": 1.5})
    parts = loss.parts(predictions, targets)
    quality = torch.cat(parts.box_targets)
    values = torch.cat(parts.box_losses["distribution"])
    assert len(quality) == int(parts.num_foreground) > 5
    expected = 1.5 * float((quality * values).sum()) / max(float(quality.sum()), 1)
    assert loss(predictions, targets)["distribution"].item() == pytest.approx(expected, rel=1e-5)


def test_matches_that_do_not_count_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU keeps the entries of all cells; the sums are those of the matches alone."""
    predictions, targets = scene(7, DistanceDecoder(bins=4, box_channels=16))
    loss = criterion(distribution={"gain": 1.5})
    expected = loss(predictions, targets)
    monkeypatch.setattr("models.losses.criterion.criterion.is_counting_free", lambda device: False)
    found = loss(predictions, targets)
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-5), name


def test_matches_beside_objectness_that_do_not_count_change_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    predictions, targets = scene(7, ShiftDecoder())
    loss = criterion(
        assigner={"name": "simota"},
        objectness={"name": "bce", "normalizer": "targets"},
        classification=class_loss(target="hard"),  # 1, at entries that do not count, too
        l1={"gain": 1.0},
    )
    expected = loss(predictions, targets)
    monkeypatch.setattr("models.losses.criterion.criterion.is_counting_free", lambda device: False)
    found = loss(predictions, targets)
    assert expected.names == ("box", "l1", "objectness", "classification")
    for name, value in expected.items():
        assert found[name].item() == pytest.approx(value.item(), rel=1e-5), name


def test_the_term_of_the_last_epochs() -> None:
    predictions, targets = scene(8, DistanceDecoder())
    loss = build_criterion(
        LossSettings.model_validate(
            {
                "assigner": {"name": "simota"},
                "objectness": None,
                "classification": class_loss(),
                "l1": {"gain": 1.0},
            }
        ),
        num_classes=3,
        num_levels=2,
        image_size=64,
        first_l1_epoch=3,
    )
    seen = []
    for epoch in (0, 2, 3, 9, 1):
        loss.begin_epoch(epoch)
        seen.append(loss(predictions, targets)["l1"].item() > 0)
    assert seen == [False, False, True, True, False]
    state = deepcopy(loss.state_dict())
    loss.begin_epoch(5)
    loss.load_state_dict(state)
    assert loss(predictions, targets)["l1"].item() == 0


def test_one_class_beside_objectness_learns_a_quality() -> None:
    predictions, targets = scene(9, ShiftDecoder(), num_classes=1)
    settings = {
        "assigner": {"name": "simota"},
        "objectness": {"name": "bce", "normalizer": "positives"},
    }
    for target, learns in (("aligned", True), ("hard", False), ("iou", False)):
        loss = class_loss(target=target, normalizer="positives")
        terms = criterion(1, **settings, classification=loss)(predictions, targets)
        assert (terms["classification"].item() > 0) == learns


def test_coded_values_need_a_head_that_encodes() -> None:
    predictions, targets = scene(0, CornerDecoder())
    with pytest.raises(ValueError, match="whose decoder has an inverse"):
        criterion(distribution={"gain": 1.0})(predictions, targets)


def test_no_objects_give_no_box_loss_and_finite_classes() -> None:
    predictions, targets = scene(10, DistanceDecoder(bins=4, box_channels=16), num_targets=0)
    terms = criterion(distribution={"gain": 1.0})(predictions, targets)
    assert terms["box"].item() == terms["distribution"].item() == 0
    assert 0 < terms["classification"].item() < 1e4
