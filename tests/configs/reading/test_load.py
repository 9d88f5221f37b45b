import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import ConfigError
from configs.origins import leaves
from configs.reading.load import (
    LoadedExperiment,
    experiment_from_mapping,
    load_dataset,
    load_experiment,
)
from configs.reading.merge import schema_defaults
from configs.reading.resolved import _value
from configs.reading.yaml_reader import parse_value
from configs.schema.branch_loss import BceLossSettings, FocalLossSettings
from configs.schema.data import VocDataset, YoloDataset
from configs.schema.train import AdamWSettings, DecaySchedule, SgdSettings
from tests.configs.conftest import GRAPH, Write

Load = Callable[..., LoadedExperiment]


def test_nothing_stated_gives_the_defaults_of_the_schema(load: Load) -> None:
    loaded = load()
    assert loaded.experiment.train.epochs == 100
    assert loaded.experiment.loss.classification == BceLossSettings(gain=0.5)
    assert loaded.origins["train.epochs"] == "default"
    assert loaded.origins["data.train"] == "data.yaml"
    assert loaded.graph["nc"] == 80
    assert loaded.graph_path == Path("graph.yaml").resolve()
    assert Path(loaded.experiment.model.graph).is_absolute()


def test_precedence_is_default_base_file_command_line(write: Write, load: Load) -> None:
    write("one.yaml", "train: {epochs: 1, batch_size: 1, workers: 1, seed: 1}")
    write("two.yaml", "train: {batch_size: 2, workers: 2, seed: 2}")
    loaded = load("base: [one.yaml, two.yaml]\ntrain: {workers: 3, seed: 3}", ["train.seed=4"])
    train = loaded.experiment.train
    assert (train.epochs, train.batch_size, train.workers, train.seed) == (1, 2, 3, 4)
    assert loaded.origins["train.epochs"] == "one.yaml"
    assert loaded.origins["train.batch_size"] == "two.yaml"
    assert loaded.origins["train.workers"] == "experiment.yaml"
    assert loaded.origins["train.seed"] == "command line"
    assert loaded.origins["train.clip_norm"] == "default"


def test_bases_are_found_beside_the_stating_file_then_in_configs(write: Write, load: Load) -> None:
    write("presets/yolov5.yaml", "train: {epochs: 7}")
    assert load("base: presets/yolov5.yaml").experiment.train.epochs == 7
    write("deep/one.yaml", "base: two.yaml")
    write("deep/two.yaml", "train: {epochs: 8}")
    assert load("base: deep/one.yaml").experiment.train.epochs == 8
    shipped = load("base: presets/yolov5-high.yaml").experiment
    assert shipped.augment.mixup == 0.1
    assert shipped.loss.objectness.gain == 0.7


def test_a_base_cycle_is_an_error_that_shows_it(write: Write, load: Load) -> None:
    write("one.yaml", "base: experiment.yaml")
    with pytest.raises(ConfigError, match=r"experiment.yaml -> one.yaml -> experiment.yaml"):
        load("base: one.yaml")


def test_the_same_base_twice_is_no_cycle(write: Write, load: Load) -> None:
    write("root.yaml", "train: {epochs: 5}")
    write("one.yaml", "base: root.yaml")
    write("two.yaml", "base: root.yaml")
    assert load("base: [one.yaml, two.yaml]").experiment.train.epochs == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: gone.yaml", r"base 'gone.yaml' \(experiment.yaml:1\) not found; tried gone.yaml"),
        ("base: {a: 1}", r"base \(experiment.yaml:1\) must be the name of a YAML"),
        ("base: [1]", r"base \(experiment.yaml:1\) must be the name of a YAML"),
    ],
)
def test_wrong_bases(load: Load, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(text)


def test_another_variant_keeps_carried_keys_only(write: Write, load: Load) -> None:
    write(
        "low.yaml",
        "loss: {classification: {name: bce, gain: 0.3, label_smoothing: 0.1, pos_weight: 2}}",
    )
    loaded = load("base: low.yaml\nloss:\n  classification: {name: focal, gamma: 1.5, alpha: null}")
    loss = loaded.experiment.loss.classification
    assert loss == FocalLossSettings(
        name="focal", gain=0.3, label_smoothing=0.1, gamma=1.5, alpha=None, pos_weight=1.0
    )
    assert loaded.origins["loss.classification.gain"] == "low.yaml"
    assert loaded.origins["loss.classification.gamma"] == "experiment.yaml"
    assert loaded.origins["loss.classification.pos_weight"] == "default"


def test_the_schema_default_of_a_gain_survives_the_switch(load: Load) -> None:
    loss = load("loss: {classification: {name: focal, gamma: 2, alpha: 0.25}}").experiment.loss
    assert loss.classification.gain == 0.5


def test_back_to_the_first_variant_drops_the_keys_of_the_second(write: Write, load: Load) -> None:
    write("focal.yaml", "loss: {objectness: {name: focal, gamma: 2, alpha: 0.25, gain: 3}}")
    loss = load("base: focal.yaml\nloss: {objectness: {name: bce}}").experiment.loss
    assert loss.objectness == BceLossSettings(gain=3.0)


def test_a_variant_with_several_names_is_one_variant(write: Write, load: Load) -> None:
    write("low.yaml", "train: {schedule: {name: linear, final: 0.2}}")
    schedule = load("base: low.yaml\ntrain: {schedule: {name: cosine}}").experiment.train.schedule
    assert schedule == DecaySchedule(name="cosine", final=0.2)


def test_optimizers_share_no_numbers(load: Load) -> None:
    train = "train: {optimizer: {lr: 0.5}}"
    assert load(train).experiment.train.optimizer == SgdSettings(lr=0.5)
    switched = load(train, ["train.optimizer.name=adamw"]).experiment.train.optimizer
    assert switched == AdamWSettings(name="adamw")


def test_overrides_are_one_layer_whatever_their_order(load: Load) -> None:
    words = ["loss.objectness.gamma=2", "loss.objectness.alpha=0.25", "loss.objectness.name=focal"]
    assert load("", words).experiment == load("", words[::-1]).experiment
    whole = load("", ["loss.objectness={name: focal, gamma: 2, alpha: 0.25}"])
    assert whole.experiment == load("", words).experiment


def test_override_values_are_yaml(load: Load) -> None:
    loaded = load(
        "",
        [
            "train.optimizer.lr=1e-4",
            "model.weights=null",
            "run.name=no",
            "data.class_names=[a, b, c]",
            "loss.level_balance=[4, 1, 0.4]",
        ],
    )
    assert loaded.experiment.train.optimizer.lr == 1e-4
    assert loaded.experiment.model.weights is None
    assert loaded.experiment.run.name == "no"
    assert loaded.experiment.data.class_names == ("a", "b", "c")


def test_an_empty_section_states_nothing(load: Load) -> None:
    assert load("train:\naugment:\n").experiment == load("").experiment


def test_a_data_file_replaces_the_inherited_data_set(write: Write, load: Load) -> None:
    write("base.yaml", "data: {path: ., format: voc, class_names: [x], difficult: keep}")
    loaded = load("base: base.yaml\ndata: data.yaml")
    assert isinstance(loaded.experiment.data, YoloDataset)
    assert loaded.experiment.data.class_names == ("cat", "dog")


def test_nothing_of_the_replaced_data_set_remains(write: Write, load: Load) -> None:
    write("base.yaml", "data: {path: ., class_names: [x], train: t, test: u, cache: false}")
    data = load("base: base.yaml\ndata: data.yaml").experiment.data
    assert isinstance(data, YoloDataset)
    assert (data.test, data.cache) == (None, True)


def test_keys_are_laid_over_an_inherited_data_set(write: Write, load: Load) -> None:
    write("base.yaml", "data: data.yaml")
    data = load("base: base.yaml\ndata: {val: images/other}").experiment.data
    assert (data.train, data.val) == ("images/train", "images/other")


def test_a_format_carries_path_and_class_names(load: Load) -> None:
    data = load("", ["data.format=voc"]).experiment.data
    assert isinstance(data, VocDataset)
    assert data.class_names == ("cat", "dog")
    assert data.train == "ImageSets/Main/train.txt"


@pytest.mark.parametrize("reverse", [False, True])
def test_data_file_and_keys_on_the_command_line(write: Write, load: Load, reverse: bool) -> None:
    write("mine/set.yaml", "names: [a]\ntrain: t\nval: v")
    words = ["data=mine/set.yaml", "data.path=images_here"]
    data = load("", words[::-1] if reverse else words).experiment.data
    assert data.class_names == ("a",)
    assert data.path == str(Path("images_here").resolve())


def test_the_resolved_yaml_gives_the_same_experiment(write: Write, load: Load) -> None:
    loaded = load(
        "loss: {objectness: {name: focal, gamma: 2, alpha: null}}\nrun: {name: '1e-3'}",
        ["train.optimizer.lr=1e-05", "data.class_names=[yes, 'null', 'a: b']"],
    )
    again = load_experiment(write("elsewhere/config.yaml", loaded.to_yaml()))
    assert again.experiment == loaded.experiment
    assert again.hash == loaded.hash
    assert again.graph == loaded.graph


@pytest.mark.parametrize(
    "arguments",
    ["{}", "{a: {}}", "{a: {b: 1}, c: []}", "{'on': 1, 'null': {'1e3': x}}", "{'a b': null}"],
)
def test_arguments_of_the_users_objects_are_read_back(
    arguments: str, write: Write, load: Load
) -> None:
    stated = f"{{name: custom, object: my_losses.Mine, arguments: {arguments}}}"
    loaded = load(f"loss: {{box: {stated}, classification: {stated}}}")
    again = load_experiment(write("elsewhere/config.yaml", loaded.to_yaml()))
    assert again.experiment == loaded.experiment
    assert again.experiment.loss.box.arguments == parse_value(arguments)  # type: ignore[union-attr]


def test_the_resolved_yaml_shows_every_origin(load: Load) -> None:
    lines = load("train: {image_size: 320}", ["train.seed=5"]).to_yaml().splitlines()
    comments = {line.split(":")[0].strip(): line.rpartition("# ")[2] for line in lines}
    assert comments["image_size"] == "experiment.yaml"
    assert comments["seed"] == "command line"
    assert comments["clip_norm"] == "default"
    assert comments["val"] == "data.yaml"


def test_inherited_keys_without_effect_do_not_stop_the_resolved_yaml(
    write: Write, load: Load
) -> None:
    write("low.yaml", "augment: {mixup: 0.3}")
    loaded = load("base: low.yaml\naugment: {mosaic: 0}")
    again = load_experiment(write("config.yaml", loaded.to_yaml()))
    assert again.experiment.augment.mixup == 0.3
    with pytest.raises(ConfigError, match=r"mixup: 0\.5 has no effect"):
        load_experiment("config.yaml", ["augment.mixup=0.5"])


@pytest.mark.slow
@given(st.text())
@settings(max_examples=60)
def test_any_text_survives_the_resolved_yaml(text: str) -> None:
    if any(0xD800 <= ord(character) <= 0xDFFF for character in text):
        return
    assert parse_value(_value(text)) == text


@pytest.mark.parametrize(
    "override",
    [
        "run.folder=other",
        "run.name=other",
        "run.checkpoint_minutes=1",
        "train.workers=7",
        "train.threads=7",
        "train.compile=network",
        "train.device=cpu",
        "train.tensorboard=true",
        "augment.device=train",
        "data.cache=false",
        "eval.batch_size=3",
    ],
)
def test_the_hash_ignores_where_and_how_fast(load: Load, override: str) -> None:
    assert load("", [override]).hash == load().hash


@pytest.mark.parametrize(
    "override",
    [
        "train.seed=1",
        "train.epochs=99",
        "loss.objectness.gain=1.5",
        "data.val=images/other",
        "data.path=.",
        "eval.iou_threshold=0.5",
        "model.prior=counted",
    ],
)
def test_the_hash_sees_what_changes_the_result(load: Load, override: str) -> None:
    assert load("", [override]).hash != load().hash


def test_the_hash_counts_the_graphs_content_not_its_name(write: Write, load: Load) -> None:
    first = load().hash
    assert len(first) == 12
    assert int(first, 16) >= 0
    write("copy.yaml", GRAPH)
    assert load("model: {graph: copy.yaml}").hash == first
    write("graph.yaml", GRAPH.replace("64", "32"))
    assert load().hash != first


def test_stored_settings_come_back(load: Load) -> None:
    experiment = load("loss: {box: {name: giou}}").experiment
    stored = json.loads(experiment.model_dump_json())
    assert experiment_from_mapping(stored) == experiment
    del stored["augment"]
    assert experiment_from_mapping(stored) == experiment
    stored["train"]["epocs"] = 3
    stored["data"]["path"] = "/nowhere/at/all"
    message = r"unknown key 'train.epocs' \(stored configuration\); did you mean 'train.epochs'"
    with pytest.raises(ConfigError, match=message):
        experiment_from_mapping(stored)


def test_a_data_set_alone(write: Write) -> None:
    assert load_dataset("data.yaml").class_names == ("cat", "dog")
    assert load_dataset(Path("data.yaml"), ["data.val=x"]).val == "x"
    with pytest.raises(ConfigError, match=r"only data\.\* can be set here"):
        load_dataset("data.yaml", ["train.epochs=3"])
    with pytest.raises(ConfigError, match=r"data 'gone' \(command line\) not found"):
        load_dataset("gone")
    with pytest.raises(ConfigError, match=r"unknown key 'data.vall' .*data.val'"):
        load_dataset("data.yaml", ["data.vall=x"])


def test_a_shipped_data_set_by_name(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("sets/bccd/BCCD/readme", "")
    monkeypatch.setenv("FOCALDET_DATASETS", "sets")
    data = load_dataset("bccd")
    assert data.class_names == ("RBC", "WBC", "Platelets")
    assert data.path == str(Path("sets/bccd/BCCD").resolve())


def test_weights_are_found_beside_the_file_that_names_them(write: Write, load: Load) -> None:
    write("deep/w.safetensors", "")
    write("deep/base.yaml", "model: {graph: ../graph.yaml, weights: w.safetensors}")
    loaded = load("base: deep/base.yaml\nmodel: {}")
    assert loaded.experiment.model.weights == str(Path("deep/w.safetensors").resolve())
    stated = load("", ["model.weights=gone.safetensors"]).experiment.model.weights
    assert stated == "gone.safetensors"


def test_every_default_is_a_leaf_with_an_origin() -> None:
    defaults = schema_defaults()
    assert all(defaults.sources[path].name == "default" for path in leaves(defaults.values))
