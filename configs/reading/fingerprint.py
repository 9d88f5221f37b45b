"""Hash of a configuration: equal where the result must be equal."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from configs.schema import Experiment
from configs.schema.derived_words import put

WITHOUT_INFLUENCE = (
    "run",
    "hooks",
    "train.workers",
    "train.cache",
    "train.cache_limit",
    "train.threads",
    "train.compile",
    "train.device",
    "train.tensorboard",
    "augment.device",
    "data.cache",
    "eval.batch_size",
    "eval.before_training",
    "eval.loss",
    "model.graph",
    "model.name",
)
"""Keys without influence on the result; of the graph its content counts, not its name."""


def fingerprint(
    experiment: Experiment, graph: Mapping[str, object], words: Mapping[str, str] | None = None
) -> str:
    """Return 12 hex digits of a SHA-256 over settings and graph.

    Args:
        experiment: the settings.
        graph: content of the model graph.
        words: by dotted key; count instead of the numbers that the run derives from them.
    """
    settings = experiment.model_dump(mode="json")
    for key, word in (words or {}).items():
        put(settings, key, word)
    unused = () if experiment.data.folds else ("data.folds", "data.fold")
    for key in (*WITHOUT_INFLUENCE, *unused):
        _remove(settings, key)
    text = json.dumps({"settings": settings, "graph": _text_keys(graph)}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def _remove(settings: dict[str, Any], key: str) -> None:
    *groups, name = key.split(".")
    for group in groups:
        settings = settings[group]
    del settings[name]


def _text_keys(value: object) -> object:
    """Return nested data whose keys are text: keys of different types cannot be sorted."""
    if isinstance(value, Mapping):
        return {str(key): _text_keys(inner) for key, inner in value.items()}
    return [_text_keys(item) for item in value] if isinstance(value, list) else value
