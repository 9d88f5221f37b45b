"""The user's own parts of a training, imported because an experiment or its graph names them.

What a weights file names is imported only where a person says that it is trusted.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from configs.checks.contradictions import head_contradictions
from configs.errors import ConfigError
from configs.reading.load import LoadedExperiment
from configs.schema import Experiment
from models.custom import CUSTOM, add_to_tables, own_names
from utils.runtime.named_object import load_named_object

NAMES = ("custom", "custom_anchors")
"""What the choice of such an object is called in the settings."""


def import_network_parts(loaded: LoadedExperiment) -> None:
    """Import every block and head of the user's own that the graph of an experiment names.

    Raises:
        UserError: a module or object cannot be found or imported; names graph and object.
        ConfigError: an object is no block or head, or the head contradicts the experiment.
    """
    if import_parts_of(loaded.graph, loaded.graph_path.name):
        found = head_contradictions(loaded.experiment, loaded.graph)
        if found:
            raise ConfigError("\n".join(found))


def import_parts_of(graph: Mapping[str, Any], source: str) -> bool:
    """Import the blocks and heads of the user's own in a graph; tell whether there are any.

    Raises:
        UserError, ConfigError: as `import_network_parts`.
    """
    names = list(own_names(graph))
    for name in names:
        add_to_tables(name, load_named_object(name, source))
    return bool(names)


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
