"""Parts of a network's training that are the user's own, by the names that settings give them.

Whoever builds a training imports them (`commands/build/criterion.py`): nothing here imports what a
file names.
"""

from collections.abc import Callable, Mapping
from typing import Any

from configs.errors import ConfigError

CUSTOM: dict[str, Callable[..., Any]] = {}
"""Name of an object -> the object."""


def built(name: str, arguments: Mapping[str, Any]) -> Any:
    """Return what the object `name` makes of `arguments`.

    Raises:
        ConfigError: it is not known, or cannot be built.
    """
    if name not in CUSTOM:
        raise ConfigError(f"{name}: an object of your own is imported by a training alone")
    try:
        return CUSTOM[name](**arguments)
    except Exception as error:  # whatever the user's program does
        said = " ".join(str(error).split())
        raise ConfigError(f"{name} cannot be built: {type(error).__name__}: {said}") from error
