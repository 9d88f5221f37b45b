"""Overrides of an experiment: nested, dotted, `section.key=value`; the experiment they imply."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.heads import head_traits
from configs.origins import CONFIGS_FOLDER, DEFAULT, KeyPath, Layer, Source
from configs.reading.locate import find_graph
from configs.reading.yaml_reader import parse_value, read_yaml
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
WITH_ANCHORS = "from_scratch_anchors.yaml"


def choose_recipe(overrides: Sequence[str]) -> Path:
    """Return the experiment for settings of a command line that names none.

    From scratch it is the one whose losses fit the head of `model.graph`, where that is stated.

    Args:
        overrides: `section.key=value` settings.
    """
    if _stated(overrides, "model.weights") is not None:
        return CONFIGS_FOLDER / FINE_TUNE
    graph = _stated(overrides, "model.graph")
    has_anchors = graph is not None and _has_anchors(graph)
    return CONFIGS_FOLDER / (WITH_ANCHORS if has_anchors else FROM_SCRATCH)


def _stated(overrides: Sequence[str], key: str) -> str | None:
    values = [text.partition("=")[2] for text in overrides if text.startswith(f"{key}=")]
    try:
        value = parse_value(values[-1]) if values else None
    except ConfigError:
        return None
    return value if isinstance(value, str) and value else None


def _has_anchors(graph: str) -> bool:
    """Tell whether a graph's head codes boxes by anchors; what is wrong with it is told later."""
    try:
        traits = head_traits(read_yaml(find_graph(graph, Source("", Path.cwd()))).values)
    except ConfigError:
        return False
    return traits is not None and traits.has_anchors


def names_data(overrides: Sequence[str]) -> bool:
    """Tell whether settings name a data set."""
    return any(text.startswith(("data=", "data.path=")) for text in overrides)
