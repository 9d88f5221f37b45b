"""Settings of `loss` that are each right but work against each other, and how a loss is chosen."""

import math
from collections.abc import Callable
from typing import Any, get_args

import pytest

from configs.reading.load import LoadedExperiment
from configs.schema.box_loss import BoxLossSettings
from configs.schema.branch_loss import BranchLossSettings, ElementwiseLoss
from configs.schema.class_loss import ClassLoss
from tests.configs.conftest import Write

Load = Callable[..., LoadedExperiment]
Faults = Callable[..., list[str]]

REQUIRED = {"bce_alpha": "alpha: 0.25", "focal": "gamma: 2, alpha: 0.25"}


def names(union: Any) -> list[str]:
    found = [get_args(variant.model_fields["name"].annotation)[0] for variant in get_args(union)]
    return [name for name in found if name != "custom"]


CLASS_LOSSES, ELEMENTWISE = names(ClassLoss), names(ElementwiseLoss)
BOX_LOSSES = ("iou", "giou", "diou", "ciou", "eiou", "siou", "alpha_iou", "focal_eiou", "smooth_l1")


def branch(branch_name: str, name: str, more: str = "") -> str:
    keys = ", ".join(part for part in (f"name: {name}", REQUIRED.get(name), more) if part)
    return f"loss: {{{branch_name}: {{{keys}}}}}"


SMOOTHED = [
    (branch("classification", name, "label_smoothing: 0.1"), "loss.classification.label_smoothing")
    for name in (
        "focal_star",
        "asymmetric",
        "poly",
        "poly_focal",
        "reduced_focal",
        "equalized_focal",
        "varifocal",
        "seesaw",
    )
]
CASES = [
    *((text, key, "is undone by") for text, key in SMOOTHED),
    (
        branch("classification", "focal", "form: linear, label_smoothing: 0.1"),
        "loss.classification.label_smoothing",
        "is undone by form: linear",
    ),
    (
        "loss: {objectness: {name: focal, gamma: 2, alpha: [0.2, 0.3]}}",
        "loss.objectness.alpha",
        "objectness has no classes",
    ),
    (
        "loss: {objectness: {name: quality, alpha: [0.2, 0.3]}}",
        "loss.objectness.alpha",
        "objectness has no classes",
    ),
    (
        "loss: {classification: {name: focal, gamma: 2, alpha: [0.2, 0.3, 0.4]}}",
        "loss.classification.alpha",
        "has 3 numbers, the data set has 2 classes",
    ),
    (
        "loss: {classification: {class_weights: [1.0]}}",
        "loss.classification.class_weights",
        "has 1 numbers, the data set has 2 classes",
    ),
    (branch("objectness", "focal_star"), "loss.objectness.name", "set loss.objectness.target"),
    (
        branch("classification", "focal_star", "target: iou"),
        "loss.classification.name",
        "set loss.classification.target: hard",
    ),
    (
        "loss: {objectness: {name: focal, gamma: 2, alpha: 0.25, pos_weight: 2}}",
        "loss.objectness",
        "alpha and pos_weight both weight the positives",
    ),
    (
        "loss: {classification: {class_weights: [1.0, 2.0], class_balance: 0.9}}",
        "loss.classification",
        "class_weights and class_balance both weight the classes",
    ),
    (
        "loss: {objectness: {ohem: {share: 0.5, negatives_per_positive: 3}}}",
        "loss.objectness.ohem",
        "exactly one of share and negatives_per_positive",
    ),
    (
        "loss: {objectness: {ohem: {share: null}}}",
        "loss.objectness.ohem",
        "exactly one of share and negatives_per_positive",
    ),
]


@pytest.mark.parametrize(("text", "key", "message"), CASES)
def test_a_contradiction_is_one_line_that_names_key_place_and_reason(
    faults: Faults, text: str, key: str, message: str
) -> None:
    found = faults(text)
    assert len(found) == 1
    assert found[0].startswith(key)
    assert message in found[0]
    assert "experiment.yaml:" in found[0]


@pytest.mark.parametrize(
    "text",
    [
        branch("classification", "focal", "form: quality, label_smoothing: 0.1"),
        "loss: {classification: {name: focal, gamma: 0, alpha: 0.25, label_smoothing: 0.1}}",
        branch("classification", "ghm", "label_smoothing: 0.1"),
        branch("classification", "softmax", "label_smoothing: 0.1"),
        branch("classification", "focal_dice", "label_smoothing: 0.1"),
        branch("objectness", "focal_star", "target: hard"),
        branch("classification", "focal_star"),
        "loss: {classification: {name: focal, gamma: 2, alpha: [0.2, 0.3]}}",
        "loss: {classification: {class_weights: [1.0, 2.0]}}",
        "loss: {objectness: {name: focal, gamma: 2, alpha: null, pos_weight: 2}}",
    ],
)
def test_what_is_close_to_a_contradiction_but_is_none(load: Load, text: str) -> None:
    load(text)


@pytest.mark.parametrize("name", sorted(set(CLASS_LOSSES) - set(ELEMENTWISE)))
def test_objectness_takes_no_loss_over_classes(faults: Faults, name: str) -> None:
    assert faults(branch("objectness", name))[0].startswith("loss.objectness.name")


@pytest.mark.parametrize("name", REQUIRED)
def test_what_has_no_usual_value_has_to_be_stated(faults: Faults, name: str) -> None:
    missing = {
        line.split(" ")[0].rstrip(":") for line in faults(f"loss: {{objectness: {{name: {name}}}}}")
    }
    stated = {f"loss.objectness.{part.split(':')[0].strip()}" for part in REQUIRED[name].split(",")}
    assert missing == stated


MODERN = "nc: 80\nbackbone: [[-1, 1, Conv, [64, 6, 2, 2]]]\nhead: [[[0, 0, 0], 1, {head}]]\n"
JOINT = "Joint, [nc, 8]"
ALIGNED = "assigner: {name: task_aligned}, objectness: null"


@pytest.mark.parametrize(
    ("head", "loss", "key", "message"),
    [
        *(
            (
                JOINT,
                f"{ALIGNED}, classification: {{name: {name}}}",
                "loss.classification.name",
                "set loss.classification.target: hard",
            )
            for name in ("poly", "poly_focal", "reduced_focal", "asymmetric", "focal_star")
        ),
        (
            JOINT,
            f"{ALIGNED}, classification: {{name: softmax}}",
            "loss.classification.name",
            "cannot say background",
        ),
        ("YOLOX, [nc, 16]", ALIGNED, "loss.objectness", "must not be null"),
        (JOINT, "objectness: null", "loss.assigner.name", "matches anchors"),
        (
            "YOLOX, [nc, 16]",
            "assigner: {name: simota}, distribution: {gain: 1.5}",
            "loss.distribution",
            "does not predict box sides as distributions",
        ),
        (
            "Joint, [nc, exp]",
            f"{ALIGNED}, distribution: {{gain: 1.5}}",
            "loss.distribution",
            "does not predict box sides as distributions",
        ),
        (
            JOINT,
            f"{ALIGNED}, l1: {{last_epochs: 5}}",
            "loss.l1",
            "predicts box sides as distributions",
        ),
    ],
)
def test_on_an_anchor_free_head(
    faults: Faults, write: Write, head: str, loss: str, key: str, message: str
) -> None:
    write("modern.yaml", MODERN.format(head=head))
    found = faults(f"loss: {{{loss}}}\nmodel: {{graph: modern.yaml}}\n")
    assert len(found) == 1
    assert found[0].startswith(f"{key} (")
    assert message in found[0]


@pytest.mark.parametrize(
    ("loss", "key", "message"),
    [
        (
            "classification: {name: bce, target: aligned}",
            "loss.classification.target",
            "the assigner anchor_ratio gives matches no quality",
        ),
        ("assigner: {name: task_aligned}", "loss.assigner.name", "takes heads without anchors"),
        ("l1: {last_epochs: 5}", "loss.l1", "no inverse"),
        ("distribution: {gain: 1.0}", "loss.distribution", "does not predict"),
    ],
)
def test_on_an_anchor_head(faults: Faults, loss: str, key: str, message: str) -> None:
    found = faults(f"loss: {{{loss}}}")
    assert len(found) == 1
    assert found[0].startswith(key)
    assert message in found[0]


@pytest.mark.parametrize(
    ("head", "loss"),
    [
        (JOINT, f"{ALIGNED}, distribution: {{gain: 1.5}}"),
        (JOINT, f"{ALIGNED}, classification: {{name: poly, target: hard}}"),
        (JOINT, f"{ALIGNED}, classification: {{name: focal, gamma: 2, alpha: 0.25, form: linear}}"),
        (JOINT, f"{ALIGNED}, classification: {{name: varifocal, target: overlap}}"),
        ("Joint, [nc, linear]", f"{ALIGNED}, l1: {{last_epochs: 5}}"),
        ("YOLOX, [nc, 16]", "assigner: {name: simota}, l1: {gain: 1.0, last_epochs: 3}"),
    ],
)
def test_what_goes_together_on_an_anchor_free_head(
    load: Load, write: Write, head: str, loss: str
) -> None:
    write("modern.yaml", MODERN.format(head=head))
    load(f"loss: {{{loss}}}\nmodel: {{graph: modern.yaml}}\n")


def test_the_target_of_each_branch_where_none_is_stated(load: Load, write: Write) -> None:
    write("modern.yaml", MODERN.format(head="YOLOX, [nc, 16]"))
    loss = load("loss: {assigner: {name: simota}}\nmodel: {graph: modern.yaml}\n").experiment.loss
    assert [loss.target_of(name) for name in loss.branches] == ["hard", "aligned"]
    published = load().experiment.loss
    assert [published.target_of(name) for name in published.branches] == ["iou", "hard"]
    stated = load("loss: {classification: {name: bce, target: overlap}}").experiment.loss
    assert stated.classification.target == stated.target_of("classification") == "iou"
    assert stated.target_of("nothing") is None


CARRIED = {
    "gain": 0.3,
    "target": "hard",
    "normalizer": "positives",
    "scale": "matched",
    "ohem": {"share": 0.5, "negatives_per_positive": None},
}
BASE = "gain: 0.3, target: hard, normalizer: positives, scale: matched, ohem: {share: 0.5}"


@pytest.mark.parametrize(
    ("group", "name"),
    [("objectness", name) for name in ELEMENTWISE]
    + [("classification", name) for name in CLASS_LOSSES],
)
def test_what_all_losses_share_survives_a_change_of_name(
    write: Write, load: Load, group: str, name: str
) -> None:
    weights = ", class_weights: [1.0, 2.0]" if group == "classification" else ""
    write("base.yaml", f"loss: {{{group}: {{name: bce, pos_weight: 2.0, {BASE}{weights}}}}}")
    chosen = getattr(load(f"base: base.yaml\n{branch(group, name)}").experiment.loss, group)
    values = chosen.model_dump()
    assert values["name"] == name
    assert {key: values[key] for key in CARRIED} == CARRIED
    assert values["class_weights"] == ((1.0, 2.0) if weights else None)
    if name != "bce":  # what is bce's own starts from the new loss's default
        assert values.get("pos_weight", 1.0) == 1.0


@pytest.mark.parametrize("name", ["focal", "softmax", "ghm", "focal_dice"])
@pytest.mark.parametrize("key", ["label_smoothing", "class_balance"])
def test_smoothing_and_balance_survive_a_change_of_name(
    write: Write, load: Load, name: str, key: str
) -> None:
    write("base.yaml", f"loss: {{classification: {{{key}: 0.1}}}}")
    loss = load(f"base: base.yaml\n{branch('classification', name)}").experiment.loss
    assert getattr(loss.classification, key) == 0.1


def test_every_shared_key_is_carried() -> None:
    assert BranchLossSettings.carried == set(BranchLossSettings.model_fields)
    assert BoxLossSettings.carried == set(BoxLossSettings.model_fields)


@pytest.mark.parametrize("name", BOX_LOSSES)
def test_gain_and_normalizer_of_boxes_survive_a_change_of_name(
    write: Write, load: Load, name: str
) -> None:
    write("base.yaml", "loss: {box: {name: ciou, gain: 0.2, normalizer: positives}}")
    box = load(f"base: base.yaml\nloss: {{box: {{name: {name}}}}}").experiment.loss.box
    assert (box.name, box.gain, box.normalizer) == (name, 0.2, "positives")


NUMBERS = [
    ("gamma", -0.1),
    ("gamma", 10.1),
    ("gamma", math.nan),
    ("alpha", 1.1),
    ("alpha", -0.1),
    ("pos_weight", 0.0),
    ("gain", -1.0),
    ("label_smoothing", 1.0),
]


@pytest.mark.parametrize(("key", "value"), NUMBERS)
def test_numbers_out_of_range_are_refused(faults: Faults, key: str, value: float) -> None:
    stated = {"gamma": 2.0, "alpha": "null", key: value if value == value else ".nan"}
    text = ", ".join(f"{name}: {number}" for name, number in stated.items())
    found = faults(f"loss: {{classification: {{name: focal, {text}}}}}")
    assert any(line.startswith(f"loss.classification.{key}") for line in found)
