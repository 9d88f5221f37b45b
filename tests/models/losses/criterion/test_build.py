import pytest
from torch import nn

from configs.errors import ConfigError
from configs.schema.loss import LossSettings
from models.assign import AnchorRatioAssigner, IouAssigner, build_assigner
from models.losses import FocalLoss, build_criterion
from models.losses.criterion.build import scaled_gains


def test_gains_of_the_published_example() -> None:
    gains = scaled_gains(LossSettings(), num_classes=20, num_levels=3, image_size=512)
    assert (gains.box, gains.classification, gains.objectness) == pytest.approx((0.05, 0.125, 0.64))


def test_four_levels_get_three_quarters() -> None:
    three, four = (
        scaled_gains(LossSettings(), num_classes=80, num_levels=levels, image_size=640)
        for levels in (3, 4)
    )
    assert (three.box, three.objectness, three.classification) == (0.05, 1.0, 0.5)
    assert (four.box, four.objectness, four.classification) == pytest.approx((0.0375, 0.75, 0.375))


def test_gains_of_anchor_free_heads_stand_as_they_are() -> None:
    settings = LossSettings.model_validate(
        {
            "assigner": {"name": "simota"},
            "box": {"name": "iou", "gain": 5.0},
            "objectness": {"name": "bce", "gain": 2.0},
            "classification": {"name": "bce", "gain": 3.0},
        }
    )
    gains = scaled_gains(settings, num_classes=20, num_levels=4, image_size=320)
    assert (gains.box, gains.objectness, gains.classification) == (5.0, 2.0, 3.0)
    loss = build_criterion(settings, num_classes=20, num_levels=4, image_size=320)
    assert loss.level_balance == (1.0, 1.0, 1.0, 1.0)


def test_every_number_of_an_assigner_arrives() -> None:
    given = {
        "task_aligned": {"alpha": 1.0, "beta": 4.0, "topk": 7, "min_side": 3.0, "rescue": False},
        "simota": {"candidates": "center", "radius": 2.0, "num_overlaps": 8},
        "soft_label": {"points": "corner", "num_overlaps": 9},
    }
    for name, numbers in given.items():
        settings = LossSettings.model_validate({"assigner": {"name": name, **numbers}})
        assigner = vars(build_assigner(settings.assigner))
        if name == "simota":
            assert assigner.pop("is_center_only")
            numbers = {k: v for k, v in numbers.items() if k != "candidates"}
        if name == "soft_label":
            assert assigner.pop("offset") == 0.0
            numbers = {"num_overlaps": 9}
        assert {key: assigner[key] for key in numbers} == numbers


def test_the_defaults_are_bce_ciou_and_the_published_balance() -> None:
    loss = build_criterion(LossSettings(), num_classes=3, num_levels=3, image_size=320)
    assert isinstance(loss.objectness.loss, nn.BCEWithLogitsLoss)
    assert isinstance(loss.classification.loss, nn.BCEWithLogitsLoss)
    assert isinstance(loss.assigner, AnchorRatioAssigner)
    assert loss.objectness.loss.pos_weight is None
    assert loss.assigner.max_ratio == 4.0
    assert loss.box.kind == "ciou"
    assert loss.level_balance == (4.0, 1.0, 0.4)
    assert loss.claimed_twice == "best"
    assert loss.objectness.gain == pytest.approx(0.25)


def test_every_setting_arrives() -> None:
    settings = LossSettings.model_validate(
        {
            "assigner": {"name": "anchor_ratio", "max_ratio": 3.0},
            "box": {"name": "giou", "gain": 0.1},
            "objectness": {"name": "focal", "gamma": 2.0, "alpha": None, "pos_weight": 0.5},
            "classification": {
                "name": "focal",
                "gamma": 1.0,
                "alpha": 0.75,
                "form": "exp",
                "label_smoothing": 0.1,
            },
            "level_balance": (1.0, 2.0),
            "claimed_twice": "last",
        }
    )
    loss = build_criterion(settings, num_classes=80, num_levels=2, image_size=640)
    objectness, classes = loss.objectness.loss, loss.classification.loss
    assert isinstance(objectness, FocalLoss)
    assert isinstance(classes, FocalLoss)
    assert (objectness.gamma, objectness.alpha, objectness.form) == (2.0, None, "quality")
    assert objectness.loss.pos_weight is not None
    assert objectness.loss.pos_weight.item() == 0.5
    assert (classes.gamma, classes.alpha, classes.form) == (1.0, 0.75, "exp")
    assert classes.loss.pos_weight is None
    assert isinstance(loss.assigner, AnchorRatioAssigner)
    assert loss.assigner.max_ratio == 3.0
    assert loss.box.kind == "giou"
    assert loss.box.gain == pytest.approx(0.15)
    assert loss.classification.label_smoothing == 0.1
    assert loss.level_balance == (1.0, 2.0)
    assert loss.claimed_twice == "last"


def test_bce_takes_its_pos_weight() -> None:
    settings = LossSettings.model_validate({"classification": {"name": "bce", "pos_weight": 2.0}})
    loss = build_criterion(settings, num_classes=3, num_levels=3, image_size=640)
    assert isinstance(loss.classification.loss, nn.BCEWithLogitsLoss)
    assert loss.classification.loss.pos_weight is not None
    assert loss.classification.loss.pos_weight.item() == 2.0


def test_a_balance_of_another_length_is_a_config_error() -> None:
    settings = LossSettings(level_balance=(4.0, 1.0))
    message = "loss.level_balance: the model has 3 levels but there are 2 weights; give 3 numbers"
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        build_criterion(settings, num_classes=3, num_levels=3, image_size=640)


def test_without_objectness_gains_stand_and_the_assigner_is_the_chosen_one() -> None:
    settings = LossSettings.model_validate(
        {
            "assigner": {"name": "iou", "positive": 0.6, "negative": 0.3, "rescue": False},
            "box": {"name": "smooth_l1", "gain": 2.0, "normalizer": "positives"},
            "objectness": None,
            "classification": {"name": "bce", "gain": 3.0, "normalizer": "positives"},
        }
    )
    loss = build_criterion(settings, num_classes=3, num_levels=6, image_size=320)
    assert loss.objectness is None
    assert (loss.box.gain, loss.classification.gain) == (2.0, 3.0)
    assigner = loss.assigner
    assert isinstance(assigner, IouAssigner)
    assert (assigner.positive, assigner.negative, assigner.rescue) == (0.6, 0.3, False)
