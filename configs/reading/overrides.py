"""Overrides of an experiment: nested, dotted, and as `section.key=value`."""

import json
from collections.abc import Iterator
from typing import Any

from configs.origins import DEFAULT, KeyPath, Layer
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
