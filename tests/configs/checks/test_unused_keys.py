from collections.abc import Callable

import pytest

from configs.checks.unused_keys import RULES
from configs.reading.load import LoadedExperiment
from configs.schema.keys import all_keys
from tests.configs.conftest import Write

Load = Callable[..., LoadedExperiment]
Faults = Callable[..., list[str]]

ONE_CLASS = "data: {path: images_here, train: x, val: y, class_names: [a]}\n"
NO_VAL = "data: {path: images_here, train: x, class_names: [a, b]}\n"
RETINA = "model: {graph: models/retinanet-csp-n.yaml}\n"
JOINT = "model: {graph: models/focal-n.yaml}\n"
YOLOX = "model: {graph: models/yolox-nano.yaml}\n"
SIMOTA = "assigner: {name: simota}"
ALIGNED = "objectness: null, assigner: {name: task_aligned}"
CASES = [
    ("loss: {objectness: {label_smoothing: 0.1}}", "loss.objectness.label_smoothing"),
    ("loss: {objectness: {class_balance: 0.9}}", "loss.objectness.class_balance"),
    ("loss: {objectness: {class_weights: [1.0, 2.0]}}", "loss.objectness.class_weights"),
    (
        RETINA + "loss: {objectness: null, level_balance: [1.0, 1.0, 1.0, 1.0, 1.0]}",
        "loss.level_balance",
    ),
    ("loss: {assigner: {name: iou}, claimed_twice: last}", "loss.claimed_twice"),
    (JOINT + "loss: {" + ALIGNED + ", claimed_twice: last}", "loss.claimed_twice"),
    (JOINT + "loss: {" + ALIGNED + ", level_balance: [1.0, 1.0, 1.0]}", "loss.level_balance"),
    (YOLOX + "loss: {" + SIMOTA + ", l1: {gain: 2.0}}", "loss.l1.gain"),
    (
        YOLOX + "augment: {close_mosaic: 3}\nloss: {" + SIMOTA + ", l1: {last_epochs: 0}}",
        "loss.l1.last_epochs",
    ),
    ("train: {ema: {horizon: 2 epochs}}", "train.ema.horizon"),
    ("train: {ema: {decay: 0.9, ramp_steps: 5.0, horizon: 3.0}}", "train.ema.horizon"),
    ("train: {warmup: {epochs: 0, max_share: 0.1}}", "train.warmup.max_share"),
    ("augment: {mosaic: 0, close_mosaic: 15%}", "augment.close_mosaic"),
    ("augment: {mosaic: 0, mixup: 0.1}", "augment.mixup"),
    ("augment: {mosaic: 0, mosaic_nine: 0.1}", "augment.mosaic_nine"),
    ("augment: {mosaic: 0, close_mosaic: 3}", "augment.close_mosaic"),
    ("train: {warmup: {epochs: 0, momentum: 0.5}}", "train.warmup.momentum"),
    ("train: {warmup: {epochs: 0, bias_lr: 0.5}}", "train.warmup.bias_lr"),
    ("train: {warmup: {epochs: 0, min_iterations: 9}}", "train.warmup.min_iterations"),
    ("train: {head_warmup: 1}", "train.head_warmup"),
    ("train: {cache: off, cache_limit: 9}", "train.cache_limit"),
    ("train: {ema: {decay: 0, ramp_steps: 9}}", "train.ema.ramp_steps"),
    (
        "loss: {objectness: {name: focal, gamma: 0, alpha: null, form: exp}}",
        "loss.objectness.form",
    ),
    (
        "loss: {classification: {name: focal, gamma: 0, alpha: null, form: exp}}",
        "loss.classification.form",
    ),
]

IDLE = [
    (ONE_CLASS + "loss: {classification: {gain: 0.4}}", "loss.classification.gain"),
    (ONE_CLASS + "eval: {class_agnostic: true}", "eval.class_agnostic"),
    (ONE_CLASS + "eval: {multi_label: false}", "eval.multi_label"),
    ("train: {epochs: 5}\naugment: {mosaic: 0.5, close_mosaic: 5}", "augment.mosaic"),
    ("train: {epochs: 5, patience: 2}\neval: {interval: 5}", "train.patience"),
    (NO_VAL + "train: {patience: 2}", "train.patience"),
    (NO_VAL + "eval: {interval: 2}", "eval.interval"),
]
"""What only the data or the length of the run makes idle."""


@pytest.mark.parametrize(("text", "key"), IDLE)
def test_a_key_that_data_or_length_make_idle_is_a_note(load: Load, text: str, key: str) -> None:
    (note,) = load(text).notes
    assert note.startswith(f"{key}: ")
    assert "has no effect (experiment.yaml:" in note
    assert "leave it out" not in note


@pytest.mark.parametrize(("text", "key"), CASES)
def test_a_key_stated_in_vain_is_an_error(faults: Faults, text: str, key: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert found[0].startswith(f"{key}: ")
    assert "has no effect (experiment.yaml:" in found[0]


def test_every_rule_has_a_case() -> None:
    stated = {key for _, key in CASES + IDLE}
    for rule in RULES:
        assert all(key in all_keys() for key in (*rule.keys, *rule.causes))
        assert any(key.startswith(rule.keys) for key in stated), rule.keys


@pytest.mark.parametrize(
    "text",
    [
        "loss: {objectness: {label_smoothing: 0.0}}",
        "augment: {mosaic: 0, mixup: 0, close_mosaic: 0}",
        YOLOX + "loss: {" + SIMOTA + ", l1: {last_epochs: 3}}",
        YOLOX + "augment: {close_mosaic: 3}\nloss: {" + SIMOTA + ", l1: {gain: 2.0}}",
        YOLOX + "augment: {close_mosaic: 15%}\nloss: {" + SIMOTA + ", l1: {gain: 2.0}}",
        "augment: {mosaic: 0.1, mixup: 0.1}",
        "train: {warmup: {epochs: 0}}",
        "train: {ema: {decay: auto, horizon: 4 epochs}}",
        "train: {ema: {ramp_steps: auto, horizon: 50 steps}}",
        "train: {warmup: {epochs: 0.1, bias_lr: 0.5}}",
        "train: {epochs: 5, patience: 2}\neval: {interval: 4}",
        "data: {format: synthetic}\ntrain: {patience: 2}",
        ONE_CLASS + "eval: {multi_label: true}",
        "loss: {objectness: {name: focal, gamma: 0, alpha: null}}",
        "loss: {objectness: {name: focal, gamma: 1, alpha: null, form: exp}}",
    ],
)
def test_what_has_an_effect_or_says_off_is_no_error(load: Load, text: str) -> None:
    load(text)


def test_a_preset_may_state_what_has_no_effect(write: Write, load: Load, faults: Faults) -> None:
    text = "augment: {mosaic: 0, mixup: 0.1}"
    write("presets/low.yaml", text)
    write("other/low.yaml", text)
    assert load("base: presets/low.yaml").experiment.augment.mixup == 0.1
    assert "(other/low.yaml:1)" in faults("base: other/low.yaml")[0]


def test_who_switches_off_need_not_know_what_the_base_says(write: Write, load: Load) -> None:
    write("low.yaml", "augment: {mixup: 0.1, close_mosaic: 3}\nloss: {classification: {gain: 1}}")
    load("base: low.yaml", ["augment.mosaic=0"])
    load("base: low.yaml\naugment: {mosaic: 0}")
    load("base: low.yaml", ["data.class_names=[a]"])


def test_the_command_line_over_an_inherited_switch(write: Write, faults: Faults) -> None:
    write("low.yaml", "augment: {mosaic: 0}")
    assert faults("base: low.yaml", ["augment.mixup=0.5"]) == [
        "augment.mixup: 0.5 has no effect (command line): augment.mosaic is 0 (low.yaml:1); "
        "leave it out or change augment.mosaic"
    ]


def test_one_class_beside_objectness_has_a_class_term_where_it_learns_a_quality(
    load: Load, write: Write
) -> None:
    write("yolox.yaml", "backbone: [[-1, 1, Conv, [8, 3, 8]]]\nhead: [[[0], 1, YOLOX, [nc]]]\n")
    text = ONE_CLASS + "model: {graph: yolox.yaml}\n"
    for target, is_idle in (("aligned", False), ("hard", True)):
        loss = f"classification: {{gain: 0.4, target: {target}}}"
        loaded = load(text + f"loss: {{assigner: {{name: simota}}, {loss}}}")
        assert any("loss.classification.gain" in note for note in loaded.notes) == is_idle
