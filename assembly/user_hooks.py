"""The hooks that a user named in the configuration, imported because they are named there."""

import importlib
import os
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from utils.engine.hooks.hook import Hook
from utils.runtime.errors import UserError

MOMENTS = ("before_training", "after_step", "after_epoch", "after_training")
"""The methods of `Hook`, of which a class has at least one."""


def user_hooks(entries: Sequence[str | Mapping[str, Any]], *, is_main: bool) -> tuple[Hook, ...]:
    """Return the hooks of the setting `hooks`, each built anew.

    Every process imports them, so that all of them stop where a name is wrong; only the first one
    (`is_main`) builds and has any.

    Raises:
        UserError: a module or class cannot be found, imported or built; names it.
    """
    found = [_named(entry) for entry in entries]
    classes = [(name, _hook_class(name), values) for name, values in found]
    return tuple(_built(name, kind, values) for name, kind, values in classes if is_main)


def _named(entry: str | Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    if isinstance(entry, str):
        return entry, {}
    return str(entry["name"]), {key: value for key, value in entry.items() if key != "name"}


def _hook_class(name: str) -> type[Any]:
    module_name, _, class_name = name.rpartition(".")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.append(here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _cannot("imported", name, error) from error
        raise UserError(
            f"hooks: {name}: there is no module {error.name}; it must be installed, on PYTHONPATH "
            f"or in the working directory {here}"
        ) from error
    except Exception as error:  # whatever the user's program does at import
        raise _cannot("imported", name, error) from error
    kind = getattr(module, class_name, None)
    if kind is None:
        close = get_close_matches(class_name, dir(module), n=1)
        hint = f"; did you mean '{module_name}.{close[0]}'?" if close else ""
        raise UserError(f"hooks: {name}: module {module_name} has no {class_name}{hint}")
    if not isinstance(kind, type) or not any(hasattr(kind, moment) for moment in MOMENTS):
        raise UserError(
            f"hooks: {name} is no hook: it must be a class with at least one of the methods "
            f"{', '.join(MOMENTS)}"
        )
    return kind


def _built(name: str, kind: type[Any], values: dict[str, Any]) -> Hook:
    try:
        hook: Hook = kind(**values)
    except Exception as error:  # whatever the user's program does
        raise _cannot("built", name, error) from error
    return hook


def _cannot(verb: str, name: str, error: Exception) -> UserError:
    text = " ".join(str(error).split())
    return UserError(f"hooks: {name} cannot be {verb}: {type(error).__name__}: {text}")
