"""Settings that go over an experiment: nested or dotted, merged, and as `section.key=value`."""

import json
from collections.abc import Iterator
from typing import Any

from configs.origins import KeyPath
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
    result: Overrides = {}
    for key, value in settings.items():
        *groups, name = str(key).split(".")
        inner: Any = nested(value) if isinstance(value, dict) else value
        stated: Overrides = {name: inner}
        for group in reversed(groups):
            stated = {group: stated}
        result = merged(result, stated)
    return result


def merged(lower: Overrides, upper: Overrides) -> Overrides:
    """Return nested settings `upper` laid over `lower`; another variant inherits nothing."""
    lower, upper = dict(lower), dict(upper)
    for key, value in upper.items():
        known = lower.get(key)
        if isinstance(known, dict) and isinstance(value, dict) and _same_variant(known, value):
            value = merged(known, value)
        lower[key] = value
    return lower


def _same_variant(known: Overrides, value: Overrides) -> bool:
    """Another variant, `name: focal` over `name: bce`, must not inherit the first one's keys."""
    return bool(value.get("name", known.get("name")) == known.get("name"))


def _leaves(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, (*path, str(name)))
    else:
        yield path, value
