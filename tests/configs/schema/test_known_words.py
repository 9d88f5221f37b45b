"""Words of other detectors: every answer names keys that exist."""

import re

import pytest

from configs.checks.validation_errors import unknown_key
from configs.errors import ConfigError
from configs.reading.load import load_experiment
from configs.schema.keys import all_keys
from configs.schema.known_words import KNOWN_WORDS, hint_for

KEY = re.compile(r"\b(?:train|loss|augment|eval|run|data|model)(?:\.[a-z_]+)+")


def test_every_key_that_is_named_exists() -> None:
    named = {key for text in KNOWN_WORDS.values() for key in KEY.findall(text)}
    files = {key for key in named if key.endswith((".py", ".yaml"))}
    assert len(named - files) > 35
    assert named - files <= set(all_keys())


def test_words_are_written_as_they_are_looked_up() -> None:
    assert [word for word in KNOWN_WORDS if hint_for(word) != KNOWN_WORDS[word]] == []
    assert hint_for("conf-thres") == hint_for("CONF_THRES") == "eval.score_threshold=X"
    assert hint_for("nonsense") is None


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("imgsz", "here that is train.image_size=N"),
        ("train.amp", "here that is train.precision=auto"),
        ("name", "here that is run.name=NAME"),
        ("train.epoch", "did you mean 'train.epochs'?"),
        ("trian.epochs", "did you mean 'train.epochs'?"),
        ("loss.gain", "did you mean"),
    ],
)
def test_the_error_says_what_to_type(key: str, hint: str) -> None:
    assert hint in unknown_key(key, "command line")


SETTING = re.compile(r"\b[a-z]+\.[a-z_.]+=[a-z_]+\b")


@pytest.mark.parametrize(
    "setting", [text for answer in KNOWN_WORDS.values() for text in SETTING.findall(answer)]
)
def test_every_choice_that_is_named_can_be_typed(setting: str) -> None:
    try:
        load_experiment("quickstart.yaml", [setting])
    except ConfigError as error:
        said = str(error)
    else:
        said = ""
    assert "must be" not in said
    assert "unknown key" not in said
