"""Overrides of an experiment: nested, dotted, `section.key=value`; the experiment they imply."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from configs.origins import CONFIGS_FOLDER, DEFAULT, KeyPath, Layer
from configs.schema.tuning import Overrides


def as_overrides(settings: Overrides) -> tuple[str, ...]:
    """Return nested settings as `section.key=value`, values in JSON, which is YAML too."""
    return tuple(
        f"{'.'.join(path)}={json.dumps(value)}"
        for path, value in _leaves(nested(settings), ())
        if path
    )


def nested(settings: Overrides) -> Overrides:
    """Return settings with `a.b: 1` written as `a: {b: 1}`; later keys go before earlier ones."""
    result = Layer()
    for path, value in _leaves(settings, ()) if settings else ():
        result.put(tuple(".".join(path).split(".")), value, DEFAULT)
    return result.values


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    else:
        yield path, value


FINE_TUNE = "finetune.yaml"
FROM_SCRATCH = "from_scratch.yaml"


def choose_recipe(overrides: Sequence[str]) -> Path:
    """Return the experiment for settings of a command line that names none.

    Args:
        overrides: `section.key=value` settings.
    """
    has_weights = any(
        text.startswith("model.weights=") and text.partition("=")[2] not in ("", "null", "~")
        for text in overrides
    )
    return CONFIGS_FOLDER / (FINE_TUNE if has_weights else FROM_SCRATCH)


def names_data(overrides: Sequence[str]) -> bool:
    """Tell whether settings name a data set."""
    return any(text.startswith(("data=", "data.path=")) for text in overrides)
