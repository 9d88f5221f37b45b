"""The resolved configuration as YAML, each value with its origin."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from configs.errors import ConfigError
from configs.reading.yaml_reader import parse_value
from configs.schema import Experiment

_HEAD = """\
# All settings of one run, with the origin of each. Train it again: train.py --cfg THIS_FILE
resolved: true  # keys without effect here are allowed
"""
DERIVED = "derived"
"""Key of a resolved file that contains the words of settings whose numbers the run derives."""
_COMMENT_COLUMN = 48
_PLAIN = re.compile(r"[\w./][\w./-]*")


def resolved_yaml(
    experiment: Experiment, origins: Mapping[str, str], words: Mapping[str, str] | None = None
) -> str:
    """Write every setting, one a line, with its origin as comment.

    Args:
        experiment: the settings.
        origins: by dotted key.
        words: by dotted key, from which the run derived the numbers; they are read back as given.
    """
    lines = _lines(experiment.model_dump(mode="json"), "", origins)
    return _HEAD + _words(words or {}) + "\n".join(lines) + "\n"


def _words(words: Mapping[str, str]) -> str:
    if not words:
        return ""
    return f"{DERIVED}: {_value(dict(words))}  # these numbers follow from data, batch and epochs\n"


def _lines(settings: Mapping[str, Any], prefix: str, origins: Mapping[str, str]) -> Iterator[str]:
    indent = "  " * prefix.count(".")
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield f"{indent}{_value(name)}:"
            yield from _lines(value, f"{prefix}{name}.", origins)
        else:
            stated = f"{indent}{_value(name)}: {_value(value)}"
            yield f"{stated:<{_COMMENT_COLUMN}}  # {origins.get(prefix + name, 'default')}"


def _value(value: object) -> str:
    """Write a value so that it is read back as it is: JSON, but plain words without quotes."""
    text = json.dumps(value, ensure_ascii=False)
    forms = [text, "".join(c if " " <= c <= "~" else f"\\U{ord(c):08x}" for c in text)]
    if isinstance(value, str) and _PLAIN.fullmatch(value):
        forms.insert(0, value)
    return next(form for form in forms if _reads_as(form, value))


def _reads_as(text: str, value: object) -> bool:
    try:
        return bool(parse_value(text) == value)
    except ConfigError:
        return False
