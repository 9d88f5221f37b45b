"""Every loss that YAML can name is built, with what it states, and nothing else is in the table."""

from typing import Any, get_args

import pytest
import torch
from torch import nn

from configs.schema import branch_loss, class_loss
from configs.schema.box_loss import BoxLoss, BoxLossSettings
from configs.schema.branch_loss import BranchLossSettings, ElementwiseLoss
from configs.schema.class_loss import ClassLoss
from configs.schema.loss import LossSettings
from models.losses import FocalLoss, build_criterion
from models.losses.box import AlphaOverlapLoss, FocalEiouLoss, SmoothL1Loss
from models.losses.criterion.build import effective_number_weights
from models.losses.criterion.catalogue import BOX_LOSSES, BRANCH_LOSSES
from tests.models.losses.detection_case import crowd
from tests.models.losses.loss_settings import ALL_NAMES, ELEMENTWISE_NAMES, REQUIRED, build

BOX_VARIANTS = get_args(get_args(BoxLoss)[0])
BOX_NAMES = [
    name
    for variant in BOX_VARIANTS
    for name in get_args(variant.model_fields["name"].annotation)
    if name != "custom"
]


def subclasses(base: type) -> set[type]:
    return {inner for child in base.__subclasses__() for inner in (child, *subclasses(child))}


def test_each_config_class_has_one_line_and_each_line_a_config_class() -> None:
    assert set(BRANCH_LOSSES) == set(get_args(ClassLoss))
    ours = {branch_loss.__name__, class_loss.__name__}
    assert {s for s in subclasses(BranchLossSettings) if s.__module__ in ours} == set(BRANCH_LOSSES)
    assert set(get_args(ElementwiseLoss)) < set(get_args(ClassLoss))
    assert set(BOX_LOSSES) == set(BOX_VARIANTS) == subclasses(BoxLossSettings)


def test_names_are_given_once() -> None:
    assert len(set(ALL_NAMES)) == len(ALL_NAMES)
    assert len(set(BOX_NAMES)) == len(BOX_NAMES)


@pytest.mark.parametrize("name", ALL_NAMES)
def test_settings_and_loss_agree_on_who_shares_a_softmax(name: str) -> None:
    loss = build(name, 3)
    chosen = {get_args(s.model_fields["name"].annotation)[0]: s for s in BRANCH_LOSSES}[name]
    assert chosen.over_classes == getattr(loss, "over_classes", False)
    shape = loss(torch.zeros(4, 3), torch.zeros(4, 3)).shape
    assert shape == ((4,) if chosen.over_classes else (4, 3))


def section(group: str, name: str) -> dict[str, Any]:
    return {group: {"name": name, **REQUIRED.get(name, {})}}


@pytest.mark.parametrize(
    ("group", "name"),
    [("objectness", name) for name in ELEMENTWISE_NAMES]
    + [("classification", name) for name in ALL_NAMES]
    + [("box", name) for name in BOX_NAMES],
)
def test_each_name_gives_a_criterion_that_learns(group: str, name: str) -> None:
    settings = LossSettings.model_validate(section(group, name))
    criterion = build_criterion(settings, num_classes=3, num_levels=3, image_size=64)
    case = crowd()
    for _ in range(2):
        terms = criterion(case.predictions, case.targets)
        gradients = torch.autograd.grad(terms.total, case.predictions.levels)
        assert terms.total.isfinite()
        assert terms[group] > 0
        assert all(gradient.isfinite().all() for gradient in gradients)
        part = {"box": slice(0, 4), "objectness": slice(4, 5), "classification": slice(5, None)}
        assert any(gradient[..., part[group]].any() for gradient in gradients)


def test_stated_numbers_arrive() -> None:
    focal = build("focal", 3, gamma=1.5, alpha=(0.1, 0.2, 0.3), form="exp")
    assert isinstance(focal, FocalLoss)
    assert (focal.gamma, focal.alpha, focal.form) == (1.5, (0.1, 0.2, 0.3), "exp")
    assert build("asymmetric", margin=0.3, gamma_positive=2).margin == 0.3
    assert build("asymmetric", margin=0.3, gamma_positive=2).gamma_positive == 2
    assert build("ghm", bins=7).density.shape == (7,)
    assert build("seesaw", 5).class_counts.shape == (5,)
    assert build("equalized_focal", 5, scale_factor=3).positive_gradient.shape == (5,)
    assert build("softmax").gamma == 0
    assert build("softmax_focal", gamma=3).gamma == 3


@pytest.mark.parametrize(
    ("stated", "kind", "attribute", "value"),
    [
        ({"name": "alpha_iou", "overlap": "giou", "exponent": 2}, AlphaOverlapLoss, "alpha", 2),
        ({"name": "focal_eiou", "exponent": 0.7}, FocalEiouLoss, "gamma", 0.7),
        ({"name": "smooth_l1", "beta": 0.5}, SmoothL1Loss, "beta", 0.5),
    ],
)
def test_stated_numbers_of_boxes_arrive(
    stated: dict[str, Any], kind: type[nn.Module], attribute: str, value: float
) -> None:
    settings = LossSettings.model_validate({"box": {**stated, "normalizer": "positives"}})
    box = build_criterion(settings, num_classes=3, num_levels=3, image_size=64).box
    assert isinstance(box.loss, kind)
    assert getattr(box.loss, attribute) == value
    assert (
        box.kind == {"alpha_iou": "giou", "focal_eiou": "eiou", "smooth_l1": "iou"}[stated["name"]]
    )
    assert box.normalizer == "positives"


def test_shared_keys_arrive_at_the_branch() -> None:
    stated = {
        "name": "bce",
        "target": "iou",
        "normalizer": "ema_positives",
        "label_smoothing": 0.1,
        "ohem": {"negatives_per_positive": 3.0},
        "class_balance": 0.9,
    }
    settings = LossSettings.model_validate({"classification": stated})
    branch = build_criterion(
        settings, num_classes=3, num_levels=3, image_size=64, class_counts=(5, 50, 500)
    ).classification
    assert (branch.target, branch.normalizer, branch.label_smoothing) == (
        "iou",
        "ema_positives",
        0.1,
    )
    assert branch.selection is not None
    assert branch.selection.negatives_per_positive == 3
    assert branch.class_weights is not None
    expected = effective_number_weights((5, 50, 500), beta=0.9)
    assert branch.class_weights.tolist() == pytest.approx(expected)
