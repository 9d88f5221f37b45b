"""Hooks of the user, imported by their names in the configuration."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from utils.engine.hook import Hook
from utils.runtime.errors import UserError
from utils.runtime.named_object import load_named_object, user_code_error
from utils.runtime.program import own_module

KEY = "hooks"
MOMENTS = ("before_training", "after_step", "after_epoch", "after_training")
"""The methods of `Hook`, of which a class has at least one."""
LOGGERS: Mapping[str, tuple[str, str]] = {
    "mlflow": ("utils.engine.hooks.mlflow_log", "MlflowLog"),
    "tensorboard": ("utils.engine.hooks.tensorboard", "TensorBoard"),
    "wandb": ("utils.engine.hooks.wandb_log", "WandbLog"),
}
"""Short name -> module and class of a hook of ours; imported, like all others, when named."""


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
    if name in LOGGERS:
        module, attribute = LOGGERS[name]
        own: type[Any] = getattr(importlib.import_module(own_module(module)), attribute)
        return own
    kind = load_named_object(name, KEY)
    if not isinstance(kind, type) or not any(hasattr(kind, moment) for moment in MOMENTS):
        raise UserError(
            f"{KEY}: {name} is not a hook: it must be a class with at least one of the methods "
            f"{', '.join(MOMENTS)}"
        )
    return kind


def _built(name: str, kind: type[Any], values: dict[str, Any]) -> Hook:
    try:
        hook: Hook = kind(**values)
    except UserError:
        raise
    except Exception as error:  # whatever the user's program does
        raise user_code_error(KEY, name, "cannot be built", error) from error
    return hook
