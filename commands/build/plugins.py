"""The user's own losses and assigners, imported because an experiment names them."""

from collections.abc import Iterator, Mapping
from typing import Any

from configs.schema import Experiment
from models.custom import CUSTOM
from utils.runtime.named_object import load_named_object

NAMES = ("custom", "custom_anchors")
"""What the choice of such an object is called in the settings."""


def import_plugins(experiment: Experiment) -> None:
    """Import every loss and assigner that an experiment names as custom.

    Raises:
        UserError: a module or object cannot be found or imported; names key and object.
    """
    for key, name in _named(experiment.loss.model_dump(), "loss"):
        CUSTOM[name] = load_named_object(name, key)


def _named(settings: Mapping[str, Any], key: str) -> Iterator[tuple[str, str]]:
    if settings.get("name") in NAMES:
        yield f"{key}.object", settings["object"]
        return
    for inner, value in settings.items():
        if isinstance(value, Mapping):
            yield from _named(value, f"{key}.{inner}")
