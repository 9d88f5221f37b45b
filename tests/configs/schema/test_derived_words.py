from collections.abc import Callable

import pytest

from configs.reading.load import LoadedExperiment, load_experiment
from configs.reading.merge import schema_defaults
from configs.schema.derived_words import derivable_keys, put, share_of, stated_words, with_numbers
from tests.configs.conftest import Write

Load = Callable[..., LoadedExperiment]
Faults = Callable[..., list[str]]


def test_the_keys_that_take_words() -> None:
    assert set(derivable_keys()) == {
        "train.batch_size",
        "train.epochs",
        "train.image_size",
        "train.nominal_batch",
        "train.optimizer.lr",
        "train.warmup.bias_lr",
        "train.ema.decay",
        "train.ema.ramp_steps",
        "augment.close_mosaic",
    }


def test_a_word_is_kept_and_a_number_stands_in() -> None:
    layer = schema_defaults()
    put(layer.values, "train.epochs", "auto")
    put(layer.values, "augment.close_mosaic", "12.5%")
    assert stated_words(layer) == {"train.epochs": "auto", "augment.close_mosaic": "12.5%"}
    numbers = with_numbers(layer)
    assert (numbers["train"]["epochs"], numbers["augment"]["close_mosaic"]) == (100, 0)
    assert layer.values["train"]["epochs"] == "auto"


def test_a_number_is_no_word() -> None:
    assert stated_words(schema_defaults()) == {}


@pytest.mark.parametrize(("word", "share"), [("15%", 0.15), ("0%", 0.0), ("12.5%", 0.125)])
def test_share(word: str, share: float) -> None:
    assert share_of(word) == share


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("train: {epochs: autoo}", 'train.epochs is "autoo" (experiment.yaml:1); must be a whole '
         "number of at least 1 or auto"),
        ("train: {nominal_batch: auto}", 'train.nominal_batch is "auto" (experiment.yaml:1); must '
         "be a whole number of at least 1 or batch"),
        ("train: {epochs: 15%}", 'train.epochs is "15%"'),
        ("augment: {close_mosaic: 101%}", 'augment.close_mosaic is "101%" (experiment.yaml:1); '
         "must be a whole number of at least 0 or a share of the run such as 15%"),
        ("augment: {close_mosaic: auto}", 'augment.close_mosaic is "auto"'),
        ("augment: {mixup: auto}", 'augment.mixup is "auto"'),
        ("train: {ema: {decay: auto, horizon: 4 weeks}}", 'train.ema.horizon is "4 weeks"'),
        ("train: {ema: {decay: auto, horizon: 0}}", "train.ema.horizon is 0"),
    ],
)  # fmt: skip
def test_another_word_is_one_line(faults: Faults, text: str, line: str) -> None:
    found = faults(text)
    assert len(found) == 1
    assert found[0].startswith(line)


def test_what_the_user_states_wins_over_a_word(load: Load) -> None:
    loaded = load("train: {epochs: auto, ema: {decay: auto}}", ["train.epochs=7"])
    assert loaded.words == {"train.ema.decay": "auto"}
    assert loaded.experiment.train.epochs == 7


def test_another_optimizer_keeps_no_word_of_the_old_one(load: Load) -> None:
    loaded = load("train: {optimizer: {lr: auto}}", ["train.optimizer.name=adamw"])
    assert loaded.words == {}
    assert loaded.experiment.train.optimizer.lr == 0.001


def test_words_count_in_the_identity(load: Load) -> None:
    auto = load("train: {ema: {decay: auto}}")
    number = load("train: {ema: {decay: 0.9999}}")
    assert auto.experiment == number.experiment
    assert auto.hash != number.hash


def test_numbers_that_stand_in_are_refused(load: Load) -> None:
    load().require_derived()
    with pytest.raises(RuntimeError, match=r"train\.epochs"):
        load("train: {epochs: auto}").require_derived()


def test_a_resolved_file_keeps_the_words(load: Load, write: Write) -> None:
    loaded = load("train: {epochs: auto}\naugment: {close_mosaic: 15%}")
    write("resolved.yaml", loaded.to_yaml())
    again = load_experiment("resolved.yaml")
    assert again.words == loaded.words
    assert again.hash == loaded.hash
    changed = load_experiment("resolved.yaml", ["train.epochs=9"])
    assert changed.words == {"augment.close_mosaic": "15%"}


@pytest.mark.parametrize("words", ["[1]", "{train.gone: auto}", "{train.epochs: 3}", "3"])
def test_a_damaged_list_of_words_is_left_out(load: Load, write: Write, words: str) -> None:
    text = load().to_yaml().replace("resolved: true", f"derived: {words}\nresolved: true")
    write("resolved.yaml", text)
    assert load_experiment("resolved.yaml").words == {}
